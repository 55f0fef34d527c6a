"""Container images without Docker: a directory becomes an OCI image in ECR, by ECR's own API.

The image has one layer, the directory's files below `/app`, and no base image: in the lab its
programs are the machine's. The same code pushes to a real account, where an image needs a base with
the programs it starts.

AWS page: "Pushing a Docker image to an Amazon ECR private repository", the API behind `docker push`.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.lab import Lab

DIRECTORY = "app"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def push(
    lab: Lab,
    repository: str,
    tag: str,
    directory: Path,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> str:
    """Make an image of a directory and push it; returns its URI with the tag.

    The same files, command and environment give the same image, with the same digest.

    Args:
        repository: the name of an ECR repository that exists.
        command: what a container of the image runs, in `/app`.
        environment: what it finds in its environment.

    Raises:
        botocore.exceptions.ClientError: `RepositoryNotFoundException`, `AccessDenied`, ...
    """
    ecr = lab.client("ecr")
    tar = _layer(directory)
    layer = gzip.compress(tar, mtime=0)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Cmd": list(command),
            "WorkingDir": f"/{DIRECTORY}",
            "Env": [f"{key}={value}" for key, value in sorted((environment or {}).items())],
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar)]},
    }
    told = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _upload(ecr, repository, _CONFIG, told),
        "layers": [_upload(ecr, repository, _LAYER, layer)],
    }
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(
            repositoryName=repository,
            imageManifest=json.dumps(manifest, sort_keys=True),
            imageManifestMediaType=_MANIFEST,
            imageTag=tag,
        )
    found = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]
    return f"{found['repositoryUri']}:{tag}"


def _layer(directory: Path) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for path in sorted(Path(directory).rglob("*")):
            name = f"{DIRECTORY}/{path.relative_to(directory).as_posix()}"
            archive.add(path, name, recursive=False, filter=_anonymous)
    return body.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _upload(ecr: Any, repository: str, media_type: str, body: bytes) -> dict[str, Any]:
    """Upload one blob in parts, unless it is there; returns its descriptor."""
    digest = _digest(body)
    known = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    if not any(one["layerAvailability"] == "AVAILABLE" for one in known["layers"]):
        begun = ecr.initiate_layer_upload(repositoryName=repository)
        upload, size = begun["uploadId"], begun["partSize"]
        for first in range(0, len(body), size):
            part = body[first : first + size]
            ecr.upload_layer_part(
                repositoryName=repository,
                uploadId=upload,
                partFirstByte=first,
                partLastByte=first + len(part) - 1,
                layerPartBlob=part,
            )
        # somebody else may have uploaded the same meanwhile
        with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
            ecr.complete_layer_upload(
                repositoryName=repository, uploadId=upload, layerDigests=[digest]
            )
    return {"mediaType": media_type, "digest": digest, "size": len(body)}


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
