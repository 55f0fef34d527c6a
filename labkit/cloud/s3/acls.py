"""A canned ACL keeps its name, which moto forgets: the parts of an upload have the keys of what began it.

AWS page: "Uploading and copying objects using multipart upload", permissions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from moto.s3.responses import S3Response


def start() -> None:
    """Have moto's ACLs say what they were asked for as: called once, when the local AWS starts."""
    original: Callable[..., Any] = S3Response._acl_from_headers

    @wraps(original)
    def acl_from_headers(self: Any, headers: Mapping[str, str]) -> Any:
        acl = original(self, headers)
        if acl is not None:
            acl.canned = headers.get("x-amz-acl")
        return acl

    S3Response._acl_from_headers = acl_from_headers  # type: ignore[method-assign]
