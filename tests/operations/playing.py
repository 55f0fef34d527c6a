"""Plays the cases of the tables beside it: steps that are operations, and what each must answer.

A case is a list of steps. A step is an operation (`PutObject`, or `sqs:ReceiveMessage` of another
service) with its input, and what is expected of it:

    gives   JMESPath expression -> the value at it ("*": any)
    until   the same, and it may take a moment
    fails   the code of the error
    save    name -> JMESPath expression; `$name` stands for the value in later steps
    back    the reading operation that must give the input back, with its own input
    as      the access key and secret of who asks, and the token of a role's session; else the learner

`$id` is the case's own. Where AWS wants JSON in a string the table has it as YAML.
"""

from __future__ import annotations

import io
import json
import string
import time
import uuid
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jmespath
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from jmespath.exceptions import JMESPathTypeError

from tests import tables
from tests.waiting import eventually

FOLDER = Path(__file__).parent
_EXPECTATIONS = ("gives", "until", "fails", "save", "back", "as")
# answers that AWS sends without any of their members, and why
EMPTY = tables.read(FOLDER / "empty.yaml")

Case = list[dict[str, Any]]


def cases(service: str) -> dict[str, Case]:
    """The table of a service: name -> steps."""
    path = FOLDER / "cases" / f"{service}.yaml"
    return tables.read(path) if path.exists() else {}


def operations(service: str, case: Case) -> set[tuple[str, str]]:
    """The operations, each with its service, that a case asks for and does not expect to fail."""
    called = set()
    for step in case:
        if "fails" in step:
            continue
        called.add(_named(service, step))
        called |= {(service, name) for name, _ in _reading(step)}
    return called


def _named(service: str, step: Mapping[str, Any]) -> tuple[str, str]:
    name = next(key for key in step if key not in _EXPECTATIONS)
    other, _, operation = name.rpartition(":")
    return other or service, operation


def _reading(step: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    back = step.get("back", {})
    return [(back, {})] if isinstance(back, str) else list(back.items())


class Player:
    """Plays one case against a lab."""

    def __init__(self, aws: Any, service: str) -> None:
        self.aws, self.service = aws, service
        self.saved: dict[str, Any] = {
            "id": uuid.uuid4().hex[:12],
            "function": _function(),
            "account": aws.description["account_id"],
            "region": aws.description["region"],
            "now": int(time.time() * 1000),
            "hour_ago": datetime.now(UTC) - timedelta(hours=1),
            "in_an_hour": datetime.now(UTC) + timedelta(hours=1),
        }

    def play(self, case: Case) -> None:
        for step in case:
            self._credentials = step.get("as", [])
            self._step(step)

    def _step(self, step: dict[str, Any]) -> None:
        service, operation = _named(self.service, step)
        wanted = next(value for key, value in step.items() if key not in _EXPECTATIONS) or {}
        if "fails" in step:
            try:
                answer = self.call(service, operation, wanted)
            except ClientError as error:
                assert error.response["Error"]["Code"] == step["fails"], error
                return
            raise AssertionError(f"{operation} should fail: {step['fails']}, and gave {answer}")
        if "until" in step:
            eventually(
                lambda: self._not_yet(service, operation, wanted, step["until"]),
                enough=lambda faults: not faults,
                what=operation,
            )
            return
        answer = self.call(service, operation, wanted)
        faults = self._faults(answer, step.get("gives", {}))
        assert not faults, f"{operation}: {faults} in {answer}"
        for name, expression in step.get("save", {}).items():
            self.saved[name] = jmespath.search(expression, answer)
            assert self.saved[name] is not None, f"{operation}: no {expression} in {answer}"
        for reading, given in _reading(step):
            self._comes_back(service, operation, wanted, reading, given)

    def call(self, service: str, operation: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """The operation's answer, checked against its model; bodies as text."""
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        credentials = dict(zip(names, self._filled(self._credentials), strict=False))
        client = self.aws.client(service, **credentials)
        model = client.meta.service_model.operation_model(operation)
        given = self._filled(wanted, model.input_shape) if model.input_shape else {}
        answer = getattr(client, xform_name(operation))(**given)
        assert_answered(service, model, answer)
        return {
            name: value.read() if hasattr(value, "read") else value
            for name, value in answer.items()
            if name != "ResponseMetadata"
        }

    def _not_yet(
        self, service: str, operation: str, wanted: dict[str, Any], expected: dict[str, Any]
    ) -> list[str]:
        try:
            return self._faults(self.call(service, operation, wanted), expected)
        except ClientError as error:
            return [str(error)]

    def _faults(self, answer: dict[str, Any], expected: dict[str, Any]) -> list[str]:
        expected = {self._filled(path): value for path, value in expected.items()}
        found = {path: _search(path, answer) for path in expected}
        return [
            f"{path} is {found[path]!r}"
            for path, value in expected.items()
            if not like(self._filled(value), found[path])
        ]

    def _comes_back(
        self,
        service: str,
        operation: str,
        sent: dict[str, Any],
        reading: str,
        given: dict[str, Any],
    ) -> None:
        """What was sent, less what names the resource, stands in the reading operation's answer."""
        model = self.aws.client(service).meta.service_model.operation_model(reading)
        named = {name: sent[name] for name in model.input_shape.members if name in sent}
        answer = self.call(service, reading, {**named, **given})
        sent = self._filled(sent)
        lost = [
            name
            for name, value in sent.items()
            if name not in named and not any(like(value, one) for one in _all(name, answer))
        ]
        assert not lost, f"{operation}: {lost} did not come back by {reading}: {answer}"

    def _filled(self, value: Any, shape: Shape | None = None) -> Any:
        """`value` with what was saved in its places, and JSON where the model has a string."""
        if isinstance(value, str):
            if value.startswith("$") and value[1:] in self.saved:
                return self.saved[value[1:]]
            return string.Template(value).safe_substitute(self.saved)
        if isinstance(value, dict):
            members = shape.members if isinstance(shape, StructureShape) else {}
            inner = shape.value if isinstance(shape, MapShape) else None
            filled = {
                self._filled(key): self._filled(item, members.get(key, inner))
                for key, item in value.items()
            }
            return (
                json.dumps(filled) if shape is not None and shape.type_name == "string" else filled
            )
        if isinstance(value, list):
            return [
                self._filled(item, shape.member if isinstance(shape, ListShape) else None)
                for item in value
            ]
        return value


def assert_answered(service: str, model: OperationModel, answer: dict[str, Any]) -> None:
    """The answer has what its model promises: its required members, and any at all."""
    shape = model.output_shape
    if shape is None or all("location" in one.serialization for one in shape.members.values()):
        return  # headers, which are there when they have something to say
    given = {name for name, value in answer.items() if value is not None} - {"ResponseMetadata"}
    assert given or model.name in EMPTY.get(service, {}), f"{service}:{model.name}: empty success"
    missing = set(shape.required_members) - given
    assert not missing, f"{service}:{model.name} answers without {sorted(missing)}"


def like(expected: Any, found: Any) -> bool:
    """Whether `found` has all of `expected`; more members of a mapping do not matter."""
    if expected == "*":
        return found is not None
    if isinstance(found, bytes) and isinstance(expected, str):
        return found == expected.encode()
    if isinstance(expected, (dict, list)) and isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return False
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            key in found and like(value, found[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(expected) == len(found)
            and all(map(like, expected, found))
        )
    return expected == found or str(expected) == str(found)


def _search(path: str, answer: dict[str, Any]) -> Any:
    try:
        return jmespath.search(path, answer)
    except JMESPathTypeError:  # `length()` of what is not there
        return None


def _all(name: str, answer: Any) -> list[Any]:
    """Every value of a member of that name, at any depth; case and first letters vary in AWS."""
    found = []
    if isinstance(answer, dict):
        for key, value in answer.items():
            if key.lower() == name.lower():
                found.append(value)
            found += _all(name, value)
    elif isinstance(answer, list):
        for item in answer:
            found += _all(name, item)
    return found


def _function() -> bytes:
    """The code of a function that gives its event back."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(
            "index.py", "def handler(event, context):\n    print(event)\n    return event\n"
        )
    return body.getvalue()
