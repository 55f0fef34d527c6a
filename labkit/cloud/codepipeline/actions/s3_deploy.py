"""Deploy action S3: the input artifact as an object, or its files as objects.

AWS page: "Amazon S3 deploy action reference".
"""

from __future__ import annotations

import mimetypes
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.shared import runtime
from labkit.cloud.shared.archives import ArchiveError, unpack


def run(action: Action) -> None:
    """Put the artifact, or with Extract each of its files, into the bucket."""
    given = action.configuration
    key = _filled(given.get("ObjectKey") or "")
    extract = given["Extract"] == "true"
    if not key and not extract:
        raise ActionFailed("ConfigurationError", "ObjectKey is required where Extract is false")
    with action.open_input(action.run.inputs[0]) as file:
        if extract:
            count = _extract(action, key, file)
            action.run.summary = f"{count} object(s) in {given['BucketName']}"
            return
        _put(action, key, file)
    action.run.summary = f"{given['BucketName']}/{key}"


def _extract(action: Action, prefix: str, body: IO[bytes]) -> int:
    with tempfile.TemporaryDirectory(dir=runtime.current().directory("pipelines")) as place:
        root = Path(place)
        try:
            unpack(body, "zip", root)
        except ArchiveError as error:
            raise ActionFailed(
                "JobFailed",
                f"The artifact {action.run.inputs[0].name} cannot be extracted: {error}",
            ) from error
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        for path in files:
            name = path.relative_to(root).as_posix()
            with path.open("rb") as file:
                _put(action, f"{prefix.strip('/')}/{name}".lstrip("/"), file)
    return len(files)


def _put(action: Action, key: str, body: IO[bytes]) -> None:
    given = action.configuration
    settings: dict[str, Any] = {
        "ContentType": mimetypes.guess_type(key)[0],
        "CacheControl": given.get("CacheControl"),
        "ACL": given.get("CannedACL"),
    }
    if given.get("KMSEncryptionKeyARN"):
        settings |= {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": given["KMSEncryptionKeyARN"],
        }
    settings = {name: value for name, value in settings.items() if value}
    action.client("s3").put_object(Bucket=given["BucketName"], Key=key, Body=body, **settings)


def _filled(key: str) -> str:
    moment = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")
    return key.replace("{datetime}", moment).replace("{uuid}", str(uuid.uuid4()))
