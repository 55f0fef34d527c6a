"""What IAM decides, by the table in `decisions/`: read it from the top to learn IAM."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.cloud.iam.decision import message
from tests.iam.table import decided, request_of, rows

ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_decision(row: dict[str, Any]) -> None:
    decision = decided(row)
    assert decision.allowed is row["allowed"], decision
    if "by" in row:
        assert decision.kind == row["by"]
    if "explicit" in row:
        assert decision.explicit is row["explicit"]
    if "says" in row:
        assert message(decision, request_of(row)).endswith(row["says"])


def test_the_table_has_a_row_for_each_point_once() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS) >= 300
    assert all(row["page"] for row in ROWS)


def test_what_decided_is_told() -> None:
    [row] = [row for row in ROWS if row["case"] == "Carlos and the logs"]
    decision = decided(row)
    assert decision.sid == "DenyS3Logs"
    assert decision.policy is not None and decision.policy.name == "own"
