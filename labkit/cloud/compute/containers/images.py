"""Images in ECR: blobs are kept, digests are true, and an image can be unpacked.

AWS pages: "CompleteLayerUpload", "PutImage" in the ECR API Reference; the format is the OCI's
("image-spec": manifest, config, layers).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.ecr.exceptions import ImageAlreadyExistsException
from moto.ecr.models import ECRBackend, Image

from labkit.cloud.compute.containers import downloads, layers
from labkit.cloud.shared.archives import ArchiveError
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.service import AWSError

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class ImageError(Exception):
    """An image that cannot be pulled or started, in the words of a task's stoppedReason."""


@dataclass(frozen=True)
class Unpacked:
    """An image whose content lies in a directory.

    Args:
        root: what stands for the image's `/`.
    """

    root: Path
    digest: str
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    directory: str = "/"


def start() -> None:
    """Make moto's ECR keep what it is given: called once, when the local AWS starts."""
    complete, put = ECRBackend.complete_layer_upload, ECRBackend.put_image

    def complete_layer_upload(
        self: Any,
        repository_name: str,
        upload_id: str,
        layer_digests: list[str],
        registry_id: str | None = None,
    ) -> dict[str, Any]:
        repository = self._get_repository(repository_name, registry_id)
        upload = repository.uploads.get(upload_id)
        if upload is not None:
            body = bytes(upload.layer_parts)
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if not body:
                raise AWSError(
                    "EmptyUploadException",
                    f"The specified layer upload '{upload_id}' does not contain any layer parts",
                )
            if layer_digests and digest not in layer_digests:
                raise AWSError(
                    "InvalidLayerException",
                    f"Layer digest {layer_digests[0]} was given, but the layer's is {digest}",
                )
            if digest in repository.layers:
                raise AWSError(
                    "LayerAlreadyExistsException",
                    f"The layer with digest '{digest}' already exists in the repository with name "
                    f"'{repository_name}' in the registry with id '{repository.registry_id}'",
                )
            path = downloads.blob(digest)
            draft = path.with_suffix(f".{upload_id}")
            draft.write_bytes(body)
            draft.replace(path)
        return complete(self, repository_name, upload_id, layer_digests, registry_id)

    def put_image(
        self: Any, repository_name: str, image_manifest: str, *rest: Any, **more: Any
    ) -> Image:
        repository = self._get_repository(repository_name)
        missing = [one for one in _blobs_of(image_manifest) if one not in repository.layers]
        if missing:
            raise AWSError(
                "LayersNotFoundException",
                f"The layers {', '.join(missing)} are not in the repository {repository_name}",
            )
        try:
            return put(self, repository_name, image_manifest, *rest, **more)
        except ImageAlreadyExistsException as error:
            if repository.is_tag_immutable() and _digest(image_manifest) not in error.message:
                raise AWSError(
                    "ImageTagAlreadyExistsException",
                    f"The image tag already exists in the '{repository_name}' repository and cannot "
                    "be overwritten because the repository is immutable.",
                ) from error
            raise

    def create_digest(self: Any) -> None:
        self._image_digest = _digest(self.image_manifest)

    ECRBackend.complete_layer_upload = complete_layer_upload  # type: ignore[method-assign]
    ECRBackend.put_image = put_image  # type: ignore[method-assign]
    Image._create_digest = create_digest  # type: ignore[method-assign]
    downloads.start()


def _digest(manifest: str) -> str:
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def is_ecr(uri: str) -> bool:
    return _URI.fullmatch(uri) is not None


def pull(uri: str, session: Session, destination: Path) -> Unpacked:
    """Unpack an image of ECR below `destination`.

    Args:
        session: who pulls; the task's execution role.

    Raises:
        ImageError: it is not in ECR, or not an image that can be unpacked here.
        botocore.exceptions.ClientError: the role may not pull it.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        raise ImageError(
            f"CannotPullContainerError: {uri} is not an image of ECR; the lab pulls from nowhere else"
        )
    wanted = (
        {"imageDigest": found["digest"]}
        if found["digest"]
        else {"imageTag": found["tag"] or "latest"}
    )
    answer = (
        session.in_region(found["region"])
        .client("ecr")
        .batch_get_image(
            registryId=found["account"], repositoryName=found["repository"], imageIds=[wanted]
        )
    )
    if not answer["images"]:
        raise ImageError(f"CannotPullContainerError: manifest for {uri} not found")
    image = answer["images"][0]
    manifest = json.loads(image["imageManifest"])
    if "config" not in manifest or "layers" not in manifest:
        raise ImageError(f"CannotPullContainerError: {uri} is not a single image")
    destination.mkdir(parents=True, exist_ok=True)
    try:
        for layer in manifest["layers"]:
            with downloads.fetched(session, found.groupdict(), layer["digest"]) as file:
                layers.unpack(file, destination)
        with downloads.fetched(session, found.groupdict(), manifest["config"]["digest"]) as file:
            whole = json.loads(file.read_bytes())
    except (ArchiveError, OSError, ValueError) as error:
        raise ImageError(f"CannotPullContainerError: {uri}: {error}") from error
    if whole.get("os", "linux") != "linux":
        raise ImageError(f"CannotPullContainerError: {uri} is of platform {whole['os']}, not linux")
    config = whole.get("config") or {}
    return Unpacked(
        destination,
        image["imageId"]["imageDigest"],
        config.get("Entrypoint") or [],
        config.get("Cmd") or [],
        dict(one.split("=", 1) for one in config.get("Env") or [] if "=" in one),
        config.get("WorkingDir") or "/",
    )


def _blobs_of(manifest: str) -> list[str]:
    try:
        found = json.loads(manifest)
    except ValueError:
        return []  # moto's own refusal follows
    parts = [*(found.get("layers") or []), found.get("config") or {}]
    return [one["digest"] for one in parts if one.get("digest")]
