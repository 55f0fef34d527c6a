"""Images of any hand: what ECR refuses, how layers lie over one another, and what never gets out.

Every image here is made of layers that a test writes itself, and pushed by ECR's API; what is in it
is told by a task of it. Sources: the OCI's image-spec, layer.md; the ECR API Reference.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cloud.clusters import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.guests]

Member = tuple[str, bytes | str, str | bytes]  # name, tar's type, link target or content


def layer(*members: Member) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind.encode() if isinstance(kind, str) else kind, 0o755
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.linkname = content
                archive.addfile(member)
    return body.getvalue()


def file(name: str, text: str = "") -> Member:
    return (name, tarfile.REGTYPE, text.encode())


def link(name: str, target: str) -> Member:
    return (name, tarfile.SYMTYPE, target)


def hard(name: str, target: str) -> Member:
    return (name, tarfile.LNKTYPE, target)


def folder(name: str) -> Member:
    return (name, tarfile.DIRTYPE, "")


class Registry:
    """A repository, and what is pushed to it by hand."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.name = cluster, cluster.name
        self.ecr = cluster.aws.client("ecr")

    def upload(self, body: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        upload = self.ecr.initiate_layer_upload(repositoryName=self.name)["uploadId"]
        self.ecr.upload_layer_part(
            repositoryName=self.name,
            uploadId=upload,
            partFirstByte=0,
            partLastByte=len(body) - 1,
            layerPartBlob=body,
        )
        self.ecr.complete_layer_upload(
            repositoryName=self.name, uploadId=upload, layerDigests=[digest]
        )
        return {"mediaType": "x", "digest": digest, "size": len(body)}

    def push(self, *layers: bytes, os: str = "linux", **config: Any) -> str:
        told = {"os": os, "architecture": "amd64", "config": config}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.upload(json.dumps(told).encode()),
            "layers": [self.upload(one) for one in layers],
        }
        self.ecr.put_image(
            repositoryName=self.name, imageManifest=json.dumps(manifest), imageTag="it"
        )
        return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{self.name}:it"

    def run(self, uri: str, **container: Any) -> dict[str, Any]:
        """The task of an image, when it has stopped."""
        arn = self.cluster.run(self.cluster.define(uri, **container))
        return self.cluster.wait(arn, "STOPPED")

    def shell(self, uri: str, script: str) -> list[str]:
        """What a shell of the image prints, at the image's root."""
        task = self.run(uri, command=["/bin/sh", "-c", script])
        assert task["containers"][0]["exitCode"] == 0, task
        return self.cluster.log(task["taskArn"])


@pytest.fixture
def registry(cluster: Cluster) -> Registry:
    return Registry(cluster)


# what leads out


def too_long(target: str) -> list[Member]:
    """Links whose real path is longer than the system lets a program ask for (CVE-2025-4517)."""
    made, path = [], ""
    for step in "abcdefghijklmnop":
        made += [
            folder(posixpath.join(path, "d" * 247)),
            link(posixpath.join(path, step), "d" * 247),
        ]
        path = posixpath.join(path, "d" * 247)
    up = "/".join("abcdefghijklmnop") + "/" + "l" * 254
    return [*made, link(up, "../" * 16), link("escape", f"{up}/{'../' * 12}{target}"), file("escape/out")]  # fmt: skip


@pytest.mark.parametrize(
    "members",
    [
        [file("../out")],
        [file("a/../../out")],
        [folder("a"), file("a/../../../out")],
        [hard("mine", "../../out"), file("mine", "x")],
    ],
    ids=["parent", "parent-inside", "grandparent", "hard-link"],
)
def test_a_member_with_two_dots_is_refused(registry: Registry, members: list[Member]) -> None:
    task = registry.run(registry.push(layer(*members), Cmd=["true"]))
    assert task["stoppedReason"].startswith("CannotPullContainerError")
    assert "leads outside the archive" in task["stoppedReason"]


@pytest.mark.parametrize("kind", ["absolute", "climbing", "hard-linked", "by-steps", "too-long"])
def test_nothing_is_written_through_a_link_that_leads_out(
    registry: Registry, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = str(outside)
    climbing = "../" * 40 + target.lstrip("/")
    members = {
        "absolute": [link("out", target), file("out/file")],
        "climbing": [link("out", climbing), file("out/file")],
        # deep down the link would end in the image; at the root, with the same text, outside
        "hard-linked": [link("a/b/c/d", climbing), hard("out", "a/b/c/d"), file("out/file")],
        "by-steps": [link("one", "/"), link("two", f"one{target}"), file("two/file")],
        "too-long": too_long(target.lstrip("/")),
    }[kind]
    below = [link("before", target)]
    task = registry.run(registry.push(layer(*below), layer(*members, file("before/file")), Cmd=["true"]))  # fmt: skip
    assert not list(outside.iterdir())
    if kind == "too-long":
        assert task["stoppedReason"].startswith("CannotPullContainerError")


def test_an_absolute_name_begins_at_the_images_root(registry: Registry, tmp_path: Path) -> None:
    uri = registry.push(layer(file(f"{tmp_path}/file", "mine")))
    assert registry.shell(uri, f"cat .{tmp_path}/file") == ["mine"]
    assert not (tmp_path / "file").exists()


def test_a_working_directory_is_below_the_images_root(registry: Registry, tmp_path: Path) -> None:
    climbing = "/.." * 40 + f"{tmp_path}/made"
    uri = registry.push(layer(file("a")), WorkingDir=climbing)
    assert registry.shell(uri, "pwd")[0].endswith(f"/app{tmp_path}/made")
    assert not (tmp_path / "made").exists()


# how layers lie over one another


@pytest.mark.parametrize(
    ("layers", "script", "printed"),
    [
        # layer.md, "Applying Changesets"
        ([[file("f", "1")], [file("f", "2")]], "cat f", ["2"]),
        ([[file("f", "1"), file("g", "1")], [file(".wh.f")]], "ls", ["g"]),
        ([[file("d/f"), file("g")], [file(".wh.d")]], "ls", ["g"]),
        ([[file("d/f")], [file("d/.wh..wh..opq"), file("d/g")]], "ls d", ["g"]),
        # "Whiteout files MUST only apply to resources in lower/parent layers"
        ([[file("d/f")], [file("d/g"), file("d/.wh..wh..opq")]], "ls d", ["g"]),
        ([[file("f", "1")], [file("f", "2"), file(".wh.f")]], "cat f", ["2"]),
        # a file takes a directory's place, and a link's, and is not written through it
        ([[file("x/f")], [file("x", "file")]], "cat x", ["file"]),
        ([[file("f", "1"), link("x", "f")], [file("x", "2")]], "cat f x", ["12"]),
        ([[link("x", "f")], [file("x/g")]], "ls f", ["g"]),
        # links of an image lead to the image's own
        ([[file("etc/hostname", "mine"), link("n", "/etc/hostname")]], "cat n", ["mine"]),
        ([[file("a/f", "1"), link("b/l", "../a/f")]], "cat b/l", ["1"]),
        ([[file("a/f", "1"), hard("g", "a/f")]], "cat g", ["1"]),
        ([[file("a/f", "1"), link("a/l", "f"), hard("m", "a/l")]], "cat m", ["1"]),
    ],
)  # fmt: skip
def test_layers_lie_over_one_another(
    registry: Registry, layers: list[list[Member]], script: str, printed: list[str]
) -> None:
    uri = registry.push(*[layer(*members) for members in layers])
    assert registry.shell(uri, script) == printed


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"not a tar", "CannotPullContainerError"),
        (gzip.compress(b"not a tar" * 200), "CannotPullContainerError"),
        (layer(file("f", "text" * 999))[:60], "CannotPullContainerError"),
        (layer(("dev", tarfile.CHRTYPE, "")), "'dev' is a device or a pipe"),
        (layer(hard("f", "none")), "not a file"),
        (layer(link("a", "b"), link("b", "a"), file("a/f")), "leads round in a circle"),
    ],
    ids=["not-a-tar", "gzip-of-no-tar", "cut-off", "device", "link-to-nothing", "circle"],
)
def test_a_layer_that_cannot_be_unpacked(registry: Registry, body: bytes, told: str) -> None:
    task = registry.run(registry.push(body, Cmd=["true"]))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError")
    assert told in task["stoppedReason"]


def test_what_cannot_be_started_says_why(registry: Registry) -> None:
    # "Stopped tasks error messages"
    none = registry.run(registry.push(layer(file("f", "1"))))
    assert none["stoppedReason"].startswith("CannotStartContainerError: no command specified")
    gone = registry.run(registry.push(layer(file("f", "2")), Cmd=["/app/none"]))
    assert gone["stoppedReason"].startswith("CannotStartContainerError")
    assert "/app/none" in gone["stoppedReason"]


def test_an_image_for_another_system_is_refused(registry: Registry) -> None:
    task = registry.run(registry.push(layer(file("f")), os="windows", Cmd=["true"]))
    assert "windows" in task["stoppedReason"]


# ECR's own


def test_a_layer_can_be_downloaded(registry: Registry) -> None:
    # "GetDownloadUrlForLayer" in the ECR API Reference
    body = layer(file("f", "downloaded"))
    digest = registry.upload(body)["digest"]
    answer = registry.ecr.get_download_url_for_layer(
        repositoryName=registry.name, layerDigest=digest
    )
    assert answer["layerDigest"] == digest
    assert urllib.request.urlopen(answer["downloadUrl"]).read() == body
    buckets = registry.cluster.aws.client("s3").list_buckets()["Buckets"]
    assert not [one for one in buckets if "starport" in one["Name"]]


def test_a_layer_that_is_not_there_is_not_downloaded(registry: Registry) -> None:
    with pytest.raises(registry.ecr.exceptions.LayersNotFoundException):
        registry.ecr.get_download_url_for_layer(
            repositoryName=registry.name, layerDigest=f"sha256:{'0' * 64}"
        )


def test_a_layer_is_uploaded_once(registry: Registry) -> None:
    # "CompleteLayerUpload" in the ECR API Reference
    body = layer(file("f", "twice"))
    registry.upload(body)
    with pytest.raises(registry.ecr.exceptions.LayerAlreadyExistsException):
        registry.upload(body)


def test_an_upload_without_a_part_is_refused(registry: Registry) -> None:
    upload = registry.ecr.initiate_layer_upload(repositoryName=registry.name)["uploadId"]
    with pytest.raises(registry.ecr.exceptions.EmptyUploadException):
        registry.ecr.complete_layer_upload(
            repositoryName=registry.name, uploadId=upload, layerDigests=[f"sha256:{'0' * 64}"]
        )


def test_an_image_in_another_repository_does_not_have_the_layer(registry: Registry) -> None:
    digest = registry.upload(layer(file("f", "here alone")))["digest"]
    other = f"{registry.name}-other"
    registry.ecr.create_repository(repositoryName=other)
    with pytest.raises(ClientError, match="does not exist in the repository"):
        registry.ecr.get_download_url_for_layer(repositoryName=other, layerDigest=digest)
