"""The same is asked when the parameters have gone through botocore's serializer and the door's parser.

No server: a request is taken from boto3 before it is sent, and read as the door reads it.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from moto.core.utils import get_service_model

from labkit.cloud.front import door, inputs
from tests.iam.test_asked import CASES, expected, questions

CONFIG = Config(
    parameter_validation=False, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
)


class Taken(Exception):
    def __init__(self, request: AWSPreparedRequest) -> None:
        self.request = request


def _take(request: AWSPreparedRequest, **_: Any) -> None:
    raise Taken(request)


@cache
def client(service: str) -> Any:
    made = boto3.client(
        service,
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret",
        config=CONFIG,
    )
    made.meta.events.register("before-send", _take)
    return made


def environ(request: AWSPreparedRequest) -> dict[str, Any]:
    """The request as WSGI has it."""
    url = urlsplit(request.url)
    body = request.body.read() if hasattr(request.body, "read") else request.body or b""
    body = body.encode() if isinstance(body, str) else body
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value.decode()
        if isinstance(value, bytes)
        else str(value)
        for name, value in request.headers.items()
    }
    return {
        **headers,
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote(url.path),
        "RAW_URI": request.url.removeprefix("http://127.0.0.1:1"),
        "REQUEST_URI": request.url.removeprefix("http://127.0.0.1:1"),
        "QUERY_STRING": url.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": headers.get("HTTP_CONTENT_TYPE", ""),
    }


@pytest.mark.parametrize(
    ("service", "case"), [one for one in CASES if not one.values[1]["asks"].startswith("Git")]
)
def test_what_is_asked_of_a_request(service: str, case: dict[str, Any]) -> None:
    with pytest.raises(Taken) as taken:
        getattr(client(service), xform_name(case["asks"]))(**case["with"])
    asked_for = environ(taken.value.request)
    assert door._operation(service, asked_for) == case["asks"]
    model = get_service_model(service).operation_model(case["asks"])
    given = inputs._parsed(model, asked_for) if model.input_shape else {}
    assert questions(service, {**case, "with": given}) == expected(case)
