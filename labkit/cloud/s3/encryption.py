"""What an object is encrypted with is settled as it is written: by the request, by its bucket, or by S3 itself.

IAM has asked the key at the door already (`iam/asked/s3.toml`). What the key then does is not done: objects
lie as they are in the lab's state directory. A key that cannot be used refuses all the same.

AWS pages: "Using server-side encryption with AWS KMS keys (SSE-KMS)"; "Setting default server-side
encryption behavior for Amazon S3 buckets"; "Key states of AWS KMS keys".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.iam import managed_keys, state
from labkit.cloud.iam.found import default_encryption, finder
from labkit.cloud.shared.service import AWSError

_WRITE = {"PutObject", "CopyObject", "CreateMultipartUpload"}
_READ = {"GetObject"}
_ALGORITHM = "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION"
_KEY = "HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_AWS_KMS_KEY_ID"
SSE_S3 = "AES256"


def settle(environ: dict[str, Any]) -> None:
    """Write into a request's headers what its object is encrypted with; refuse a key that cannot be used.

    Raises:
        AWSError: KMS's, by the name that S3 gives it.
    """
    operation, named = environ.get("labkit.operation"), environ.get("labkit.uri") or {}
    if operation not in _WRITE | _READ:
        return
    find = finder(environ["labkit.principal"], environ["labkit.region"])
    bucket, key = named["Bucket"], named["Key"]
    if operation in _READ:
        if used := find("s3:encrypted-with", f"{bucket}  {key}"):
            _check(used)
        return
    algorithm = environ.get(_ALGORITHM)
    if used := find("s3:encrypts-with", f"{bucket} {algorithm or ''} {environ.get(_KEY, '')}"):
        _check(used)
        environ[_KEY] = used
    environ[_ALGORITHM] = algorithm or _default(bucket)


def _default(bucket: str) -> str:
    backend = state.of_bucket(bucket)
    known = default_encryption(backend.buckets[bucket]) if backend else {}
    return known.get("SSEAlgorithm") or SSE_S3


def _check(text: str) -> None:
    arn = state.parsed(text)
    if arn is None or managed_keys.is_managed(arn):
        return
    key = state.kept(arn, "keys").get(arn.rest)
    if arn.kind == "alias":
        raise AWSError("KMS.NotFoundException", f"Alias {text} is not found.")
    if key is None:
        raise AWSError("KMS.NotFoundException", f"Key '{text}' does not exist")
    if key.key_state == "Disabled":
        raise AWSError("KMS.DisabledException", f"{text} is disabled.")
    if key.key_state != "Enabled":
        raise AWSError("KMS.KMSInvalidStateException", f"{text} is pending deletion.")
