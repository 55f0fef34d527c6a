"""What a request asks of IAM: the table in asked.yaml, by its service and operation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.cloud.iam.asked import asked
from labkit.cloud.iam.asked.expressions import strings
from tests import tables

CASES = [
    pytest.param(one["service"], case, id=f"{one['service']}-{case['asks']}-{number}")
    for one in tables.read(Path(__file__).with_name("asked.yaml"))
    for number, case in enumerate(one["cases"])
]


def questions(service: str, case: dict[str, Any]) -> list[tuple[str, dict[str, list[str]]]]:
    """What is asked, as the table writes it: `s3:GetObject arn:aws:s3:::shop/a.txt`, and its keys."""
    known = case.get("find", {})

    def find(kind: str, name: Any) -> Any:
        return known.get(f"{kind} {name.decode() if isinstance(name, bytes) else name}")

    found = asked(
        service,
        case["asks"],
        case["with"],
        account="123456789012",
        region="us-east-1",
        find=find,
    )
    return [(f"{one.action} {one.resource}", dict(one.keys)) for one in found]


def expected(case: dict[str, Any]) -> list[tuple[str, dict[str, list[str]]]]:
    written = [one if isinstance(one, dict) else {one: {}} for one in case["questions"]]
    return [
        (question, {key: strings(value) for key, value in keys.items()})
        for one in written
        for question, keys in one.items()
    ]


@pytest.mark.parametrize(("service", "case"), CASES)
def test_what_is_asked(service: str, case: dict[str, Any]) -> None:
    assert questions(service, case) == expected(case)


def test_another_partition() -> None:
    (one,) = asked(
        "codebuild",
        "StartBuild",
        {"projectName": "shop"},
        account="123456789012",
        region="cn-north-1",
        partition="aws-cn",
    )
    assert one.resource == "arn:aws-cn:codebuild:cn-north-1:123456789012:project/shop"


def test_the_same_question_is_asked_once() -> None:
    given = {"names": ["shop", "shop", "cart"]}
    found = asked("codebuild", "BatchGetProjects", given, account="1", region="us-east-1")
    assert [one.resource.rpartition("/")[2] for one in found] == ["shop", "cart"]
