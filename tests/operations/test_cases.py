"""Every operation that is let through does what its kind says (rule R1)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from labkit.cloud.front import operations
from labkit.cloud.front.services import SERVICES
from tests import organizations
from tests.operations import playing

ROOT = Path(__file__).parents[2]
MOTO = [name for name in SERVICES.values() if operations.of(name)]
CASES = [(service, name) for service in MOTO for name in playing.cases(service)]


@pytest.mark.parametrize(("service", "name"), CASES, ids=[f"{one}: {name}" for one, name in CASES])
def test_case(aws: Any, service: str, name: str) -> None:
    if service == "organizations":  # an account is in one at most
        organizations.create(aws)
    playing.Player(aws, service).play(playing.cases(service)[name])


@pytest.mark.parametrize("service", MOTO)
def test_every_operation_is_proved_by_a_case(service: str) -> None:
    proved = {
        operation
        for one in MOTO
        for case in playing.cases(one).values()
        for other, operation in playing.operations(one, case)
        if other == service
    }
    table = operations.of(service)
    unproved = [name for name in table.kinds if name not in proved]
    elsewhere = {
        name for case, names in table.acts.items() if _is_test_of(case, names) for name in names
    }
    assert sorted(set(unproved) - elsewhere) == []


@pytest.mark.parametrize("service", MOTO)
def test_an_operation_that_acts_names_a_case_that_calls_it(service: str) -> None:
    known = playing.cases(service)
    for case, names in operations.of(service).acts.items():
        if case.startswith("tests/"):
            assert _is_test_of(case, names), case
        else:
            called = {name for _, name in playing.operations(service, known[case])}
            assert set(names) <= called, case


def _is_test_of(case: str, names: list[str]) -> bool:
    """Whether `tests/file.py::test` is there, in a package that calls all these operations."""
    path, _, test = case.partition("::")
    if not case.startswith("tests/") or f"def {test}(" not in (ROOT / path).read_text():
        return False
    text = "".join(one.read_text() for one in (ROOT / path).parent.glob("*.py"))
    return all(re.search(rf"\b{_snake(name)}\b", text) for name in names)


def _snake(name: str) -> str:
    from botocore import xform_name

    return xform_name(name)
