"""How large a request's body may be, by what can be told from its head."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

# PutObject and UploadPart; with any other of S3's parameters a request is about something else
_OF_UPLOADS = ("partnumber", "uploadid", "x-id")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


def is_upload(boto3_name: str, method: str, path: str, query: str) -> bool:
    """Whether the body is an object's own bytes, or a part of them.

    Args:
        query: the raw query string.
    """
    if boto3_name != "s3" or method != "PUT" or not path.strip("/").partition("/")[2]:
        return False
    names = (name.lower() for name, _ in parse_qsl(query, keep_blank_values=True))
    return all(name in _OF_UPLOADS or name.startswith("x-amz-") for name in names)


def of_service(boto3_name: str) -> int:
    """Bytes, for an operation of that service."""
    return int(_table()["services"].get(boto3_name, _table()["default"]))


def of_object() -> int:
    """Bytes, for what S3 stores at a time."""
    return int(_table()["s3"]["object"])


def of_push() -> int:
    """Bytes, for a git push."""
    return int(_table()["git"]["push"])
