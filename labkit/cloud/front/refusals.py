"""How the door says no: an error as the service that was meant would write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

from botocore.loaders import create_loader
from moto.core.exceptions import ServiceException
from moto.core.utils import get_service_model
from werkzeug.wrappers import Response

from labkit.cloud.front import keys
from labkit.cloud.front.services import SERVICES
from labkit.cloud.iam.asked import Asked
from labkit.cloud.shared.service import AWSError, error_response

# the same refusals, as the older XML protocols name them
_XML_CODES = {
    "s3": {
        "MissingAuthenticationTokenException": "AccessDenied",
        "UnrecognizedClientException": "InvalidAccessKeyId",
        "InvalidSignatureException": "SignatureDoesNotMatch",
        "IncompleteSignatureException": "AuthorizationHeaderMalformed",
        "UnknownOperationException": "NotImplemented",
    },
    "query": {
        "MissingAuthenticationTokenException": "MissingAuthenticationToken",
        "UnrecognizedClientException": "InvalidClientTokenId",
        "InvalidSignatureException": "SignatureDoesNotMatch",
        "IncompleteSignatureException": "IncompleteSignature",
        "UnknownOperationException": "InvalidAction",
    },
}
# AccessDeniedException, as the services say it that do not
_DENIALS = {
    **dict.fromkeys(
        ("autoscaling", "cloudformation", "cloudwatch", "elbv2", "iam", "s3", "sqs", "sts"),
        "AccessDenied",
    ),
    "ec2": "UnauthorizedOperation",
    "sns": "AuthorizationError",
}
# S3's words for a body that is not taken, as the other services say them
_OF_BODIES = {
    "EntityTooLarge": ("RequestEntityTooLargeException", 413),
    "RequestTimeout": ("RequestTimeoutException", 408),
    "IncompleteBody": ("SerializationException", 400),
    "InvalidRequest": ("SerializationException", 400),
}

Environ = dict[str, Any]


class Refused(Exception):
    """A request that is answered without being read to its end.

    Args:
        respond: makes the answer; it may take its time, for a service's model has to be read.
    """

    def __init__(self, respond: Callable[[Environ], Response]) -> None:
        super().__init__()
        self.respond = respond


def plainly(message: str, status: int, **headers: str) -> Refused:
    """A refusal to somebody who speaks no AWS protocol."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refused(lambda environ: Response(f"{message}\n", status, named))


def denied(boto3_name: str, sentence: str, refused: Asked) -> AWSError:
    """What IAM refuses, as the service says it.

    Args:
        refused: the question that was not allowed: a key's has words of its own.

    AWS pages: "Troubleshoot access denied error messages"; "Error codes for the Amazon EC2 API".
    """
    if keys.is_used(boto3_name, refused):
        return keys.denied(boto3_name, sentence, refused)
    if boto3_name == "ec2":
        sentence = f"You are not authorized to perform this operation. {sentence}"
    return AWSError(_DENIALS.get(boto3_name, "AccessDeniedException"), sentence)


def is_denial(code: str) -> bool:
    return code.startswith("AccessDenied") or code in _DENIALS.values()


def of_body(service: str, code: str, message: str, environ: Environ) -> Response:
    """The answer to a body that is not taken; `code` is S3's."""
    if service == "s3":
        return refuse(service, code, message, environ)
    code, status = _OF_BODIES.get(code, (code, 400))
    return refuse(service, code, message, environ, status)


def refuse(
    service: str, code: str, message: str, environ: Environ, status: int | None = None
) -> Response:
    """The error `code` as the service would write it.

    Args:
        service: the name that the request was signed for, whether there is such a service or not.
        status: the error's own in the service's model, or 400, if none is given.
    """
    name = SERVICES.get(service) or (service if service in _modelled() else "sts")
    if name == "s3":  # the content type is the object's
        code = _XML_CODES["s3"].get(code, code)
        text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{escape(_printable(message))}</Message></Error>"
        return Response(text, status or 400, content_type="application/xml")
    content_type = environ.get("CONTENT_TYPE", "")
    if "cbor" in content_type:
        headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
        return Response(_cbor({"__type": code, "message": message}), status or 400, headers)
    if "json" in content_type:  # also where no signature says which service was meant
        text = json.dumps({"__type": code, "message": message})
        return Response(text, status or 400, content_type=content_type)
    if "json" not in get_service_model(name).protocol:
        code = _XML_CODES["query"].get(code, code)
    error = ServiceException(code, _printable(message))
    number, headers, body = error_response(name, error, content_type, status)
    return Response(body, number, headers)


def _printable(message: str) -> str:
    """XML has no place for control characters, not even escaped ones."""
    return "".join(character if character.isprintable() else " " for character in message)


def _cbor(error: dict[str, str]) -> bytes:
    """A map of short texts (RFC 8949, 3.1)."""
    texts = [text.encode()[:65535] for pair in error.items() for text in pair]
    return bytes([0xA0 | len(error)]) + b"".join(
        b"\x79" + len(text).to_bytes(2, "big") + text for text in texts
    )


@cache
def _modelled() -> frozenset[str]:
    """The services that botocore has a model of: an error can be written as they would."""
    return frozenset(create_loader().list_available_services("service-2"))
