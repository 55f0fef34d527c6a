"""What an object is encrypted with is settled as it is written: by the request, by its bucket, or by S3 itself.

The key has been asked at the door already (`iam/asked/s3.toml`, `front/keys.py`). What it then does is not
done: objects lie as they are in the lab's state directory.

AWS pages: "Using server-side encryption with AWS KMS keys (SSE-KMS)"; "Setting default server-side
encryption behavior for Amazon S3 buckets".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.iam import state
from labkit.cloud.iam.found import default_encryption, finder

_WRITE = {"PutObject", "CopyObject", "CreateMultipartUpload"}
_ALGORITHM = "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION"
_KEY = "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"
SSE_S3 = "AES256"


def settle(environ: dict[str, Any]) -> None:
    """Write into a request's headers what its object is encrypted with."""
    if environ.get("labkit.operation") not in _WRITE:
        return
    find = finder(environ["labkit.principal"], environ["labkit.region"])
    bucket, algorithm = environ["labkit.uri"]["Bucket"], environ.get(_ALGORITHM)
    if used := find("s3:encrypts-with", f"{bucket} {algorithm or ''} {environ.get(_KEY, '')}"):
        environ[_KEY] = used
    environ[_ALGORITHM] = algorithm or _default(bucket)


def _default(bucket: str) -> str:
    backend = state.of_bucket(bucket)
    known = default_encryption(backend.buckets[bucket]) if backend else {}
    return known.get("SSEAlgorithm") or SSE_S3
