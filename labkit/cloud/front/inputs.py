"""What is asked, read by botocore's model, and what moto is asked checked against it before it is.

moto takes most input as it comes and falls over on the odd one. AWS answers that with a validation error
of the service's own, and so does the door. AWS page: "Common Errors" of each service's API Reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import ParseError

import jmespath
from botocore.model import ListShape, MapShape, OperationNotFoundError, Shape, StructureShape
from botocore.validate import ParamValidator
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.request import Request, determine_request_protocol
from moto.core.utils import get_service_model

from labkit.cloud.front.operations import Operations
from labkit.cloud.shared.input_checks import constraints
from labkit.cloud.shared.service import AWSError

_NULL = "Value null at '{}' failed to satisfy constraint: Member must not be null"
_RANGES = "valid min "  # of botocore's validator; told by `constraints`, in AWS's words
_UNREADABLE = (RequestParserError, ParseError, ValueError, TypeError, AttributeError, KeyError)


def read(boto3_name: str, operation: str, environ: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request, as the operation's model names them.

    Args:
        environ: the request; its body can be read again afterwards.

    Returns:
        Those of a JSON body, where there is no such model; nothing if they cannot be read.
    """
    try:
        return _read(get_service_model(boto3_name).operation_model(operation), environ)
    except OperationNotFoundError:
        return _of_json(environ)
    except _UNREADABLE:
        return {}


def _of_json(environ: dict[str, Any]) -> dict[str, Any]:
    body = environ["wsgi.input"].read()
    environ["wsgi.input"].seek(0)
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def check(
    boto3_name: str, operation: str, table: Operations, environ: dict[str, Any]
) -> dict[str, Any]:
    """Refuse what the operation's model does not allow, and what the lab leaves out of it.

    Args:
        environ: the request; its body can be read again afterwards.

    Returns:
        The parameters, as `read` gives them.

    Raises:
        AWSError: with the service's own code for it.
    """
    model = get_service_model(boto3_name).operation_model(operation)
    try:
        given = _read(model, environ)
    except _UNREADABLE as error:
        message = f"The request cannot be read: {error}"
        raise AWSError(_unreadable(model, table), message) from error
    if not isinstance(model.input_shape, StructureShape):
        return given
    if absent := list(_absent(given, model.input_shape, "")):
        raise AWSError(table.missing, _counted([_NULL.format(path) for path in absent]))
    report = ParamValidator().validate(given, model.input_shape).generate_report()
    if wrong := [line for line in report.splitlines() if _RANGES not in line]:
        raise AWSError(table.invalid, "\n".join(wrong))
    if broken := [fault.message for fault in constraints(given, model.input_shape, [])]:
        raise AWSError(table.invalid, _counted(broken))
    for expression, text in _checks(table, operation):
        if not jmespath.search(expression, given):
            raise AWSError(*text.split(": ", 1))
    for member in table.without.get(operation, ()):
        if _has(given, member):
            message = (
                f"The lab's local AWS does not support {member} in {boto3_name}:{operation} "
                "(nothing was done)."
            )
            raise AWSError(table.invalid, message)
    return given


def _read(model: OperationModel, environ: dict[str, Any]) -> dict[str, Any]:
    return _parsed(model, environ) if isinstance(model.input_shape, StructureShape) else {}


def _checks(table: Operations, operation: str) -> Iterator[tuple[str, str]]:
    for name in ("*", operation):
        yield from table.checks.get(name, {}).items()


def _has(given: Any, member: str) -> bool:
    """Whether a member is there: `ScheduleExpression`, `Protocol=email`."""
    path, _, value = member.partition("=")
    found = jmespath.search(path, given)
    return bool(found == value) if value else bool(found)


def _parsed(model: OperationModel, environ: dict[str, Any]) -> Any:
    request = Request(environ)
    protocol = determine_request_protocol(model.service_model, request.content_type)
    shape = model.input_shape
    payload = shape.members.get(shape.serialization.get("payload"))
    kind = payload.type_name if payload is not None else ""
    streamed = kind in ("blob", "string")
    form = request.values  # read first: a form is not in `data` any more
    body = b"" if streamed or request.form else request.get_data()
    environ["wsgi.input"].seek(0)
    if "json" in protocol and body and not isinstance(json.loads(body), dict):
        raise ValueError("the body is not a JSON object")
    given = PROTOCOL_PARSERS[protocol](model).parse(
        {
            "method": request.method,
            "values": form,
            "headers": request.headers,
            "body": body,
            "url_path": request.path,
            "url_params": environ.get("labkit.uri", {}),
        }
    )
    if streamed:  # a blob may be gigabytes
        text = request.get_data().decode(errors="replace") if kind == "string" else b""
        environ["wsgi.input"].seek(0)
        given[shape.serialization["payload"]] = text
    return given


def _unreadable(model: OperationModel, table: Operations) -> str:
    if model.service_model.service_name == "s3":
        return "MalformedXML"
    return "SerializationException" if "json" in model.service_model.protocol else table.invalid


def _absent(given: Any, shape: Shape, path: str) -> Iterator[str]:
    """Where a member is not there that the model requires."""
    if isinstance(shape, StructureShape) and isinstance(given, dict):
        for name, member in shape.members.items():
            place = f"{path}.{name}" if path else name
            if given.get(name) is not None:
                yield from _absent(given[name], member, place)
            elif name in shape.required_members:
                yield place
    elif isinstance(shape, ListShape) and isinstance(given, list):
        for index, item in enumerate(given, start=1):
            yield from _absent(item, shape.member, f"{path}.{index}.member")
    elif isinstance(shape, MapShape) and isinstance(given, dict):
        for key, item in given.items():
            yield from _absent(item, shape.value, f"{path}.{key}.member")


def _counted(faults: list[str]) -> str:
    return f"{len(faults)} validation error{'s'[: len(faults) > 1]} detected: {'; '.join(faults)}"
