"""Prices have a source and a date, and a month worked by hand comes out right."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from labkit.observe.costs import (
    action_minutes,
    build_minutes,
    chart_costs,
    estimate,
    instance_hours,
    minutes_begun,
    prices,
)
from labkit.provision import build, deploy

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def run(seconds: float, category: str = "Build", status: str = "Succeeded") -> dict[str, Any]:
    return {
        "status": status,
        "startTime": START,
        "lastUpdateTime": START + timedelta(seconds=seconds),
        "input": {"actionTypeId": {"category": category}},
    }


def test_every_price_says_where_it_is_from_and_when() -> None:
    table = prices()
    assert table.index.is_unique
    for name, price in table.iterrows():
        assert price["source"], name
        assert re.fullmatch(r"\d{4}(-\d{2}){0,2}", price["date"]), name
        assert price["confidence"] in ("official", "list", "derived", "recalled"), name
        assert price["usd"] >= 0 and price["unit"] and price["item"], name


def test_what_the_lab_uses_has_a_price() -> None:
    for name in (f"codebuild.{build.COMPUTE_TYPE}", f"ec2.{deploy.INSTANCE_TYPE}"):
        assert name in prices().index


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(0, 1), (12, 1), (60, 1), (60.1, 2), (125, 3), (210, 4), (250, 5)]
)
def test_a_minute_begun_is_a_minute_billed(seconds: float, minutes: int) -> None:
    assert minutes_begun(seconds) == minutes


def test_actions_are_rounded_one_by_one_and_approvals_are_free() -> None:
    runs = [
        run(12, "Source"),
        run(250),
        run(125, "Test"),
        run(86_400, "Approval"),
        run(210, "Deploy", "Failed"),
        run(999, status="InProgress"),
    ]
    assert action_minutes(runs) == 1 + 5 + 3 + 4


def test_builds_are_rounded_one_by_one_and_by_compute_type() -> None:
    def one(seconds: float, compute: str, complete: bool = True) -> dict[str, Any]:
        return {
            "buildComplete": complete,
            "environment": {"computeType": compute},
            "startTime": START,
            "endTime": START + timedelta(seconds=seconds),
        }

    small, medium = "BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_MEDIUM"
    found = build_minutes([one(61, small), one(3, small), one(1, medium), one(9, small, False)])
    assert found == {f"codebuild.{small}": 3.0, f"codebuild.{medium}": 1.0}


def test_instances_are_billed_by_the_second_and_a_minute_at_least() -> None:
    def one(seconds: int) -> dict[str, Any]:
        ended = (START + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
        return {
            "InstanceType": "t3.micro",
            "LaunchTime": START,
            "State": {"Name": "terminated"},
            "StateTransitionReason": f"User initiated ({ended} UTC)",
        }

    assert instance_hours([one(5), one(1740)]) == {
        "ec2.t3.micro": pytest.approx(0.5),
        "ec2.public_ipv4": pytest.approx(0.5),
    }


def test_the_month_worked_by_hand() -> None:
    """100 runs of source 12 s, build 4 min 10 s, test 2 min 5 s, approval, deploy 3 min 30 s."""
    month = estimate(
        {
            "codepipeline.action_minute": 100 * 13,
            "codebuild.BUILD_GENERAL1_SMALL": 100 * 8,
            "codedeploy.ec2": 100,
            "ec2.t3.micro": 2 * 730,
            "s3.storage": 6,
            "s3.put": 300,
            "logs.ingestion": 0.1,
        }
    )
    assert month["to_pay"].tolist() == pytest.approx([2.40, 3.50, 0, 15.184, 0.138, 0.0015, 0])
    assert month["free"].tolist() == pytest.approx([0.20, 0.50, 0, 0, 0, 0, 0.05])
    assert month["cost"].sum() == pytest.approx(month["to_pay"].sum() + month["free"].sum())
    assert month["source"].all() and month["date"].all()
    said = chart_costs(month).alt
    assert "$21.9735 in all, $21.2235 after the monthly free tier" in said
    assert "largest item is EC2 with $15.1840" in said


def test_what_has_no_price_is_not_free() -> None:
    with pytest.raises(KeyError):
        estimate({"ec2.u-24tb1.metal": 1})
