"""What a decision costs: `make bench`.

A policy of 50 statements, and 1,000 roles each with policies of its own, as a multiple of one
statement and of one role. Of 50 statements either one names the action, or all do and each another
resource. Requests ask for the same few hundred resources again and again, as pipelines do; what a
resource costs that was never asked for is printed beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count, cycle, islice

import pytest

from labkit.cloud.iam.decision import Policies, decide
from labkit.cloud.iam.principals import Caller
from labkit.cloud.iam.statements import Policy, Request

ACCOUNT = "111122223333"
CALLS, ROUNDS, MOST = 5000, 7, 1.5
CONTEXT = {"aws:sourceip": ["127.0.0.1"], "aws:username": ["alice"]}

# role and object that are asked for, and the policies of the role
Asked = Iterator[tuple[int, int, Policies]]


def statement(action: str, number: int) -> dict[str, object]:
    return {
        "Effect": "Allow",
        "Action": [action],
        "Resource": [f"arn:aws:s3:::bucket-{number}/*", f"arn:aws:s3:::bucket-{number}"],
        "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
    }


def policies(statements: list[dict[str, object]]) -> Policies:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    boundary = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    return Policies(identity=(Policy(text, "own"),), boundary=Policy(boundary, "boundary"))


def request(role: int, object_number: int) -> Request:
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/role-{role}/run"
    caller = Caller(session, ACCOUNT, issuer=f"arn:aws:iam::{ACCOUNT}:role/role-{role}")
    resource = f"arn:aws:s3:::bucket-0/{object_number}"
    return Request(caller, "s3:GetObject", resource, ACCOUNT, CONTEXT)


def seconds(pairs: Asked) -> float:
    """Of some decisions, each with the making of its request."""
    asked = list(islice(pairs, CALLS))
    started = time.perf_counter()
    for role, number, applied in asked:
        assert decide(request(role, number), applied).allowed
    return time.perf_counter() - started


def fastest(many: Asked, one: Asked) -> tuple[float, float]:
    """Of some rounds, in turns, so that a busy machine slows both."""
    rounds = [(seconds(many), seconds(one)) for _ in range(ROUNDS)]
    return min(first for first, _ in rounds), min(second for _, second in rounds)


ONE = [statement("s3:GetObject", 0)]
FIFTY = {
    "of 50 actions": [*ONE, *(statement(f"s3:Action{number}", number) for number in range(1, 50))],
    "of one action": [statement("s3:GetObject", number) for number in reversed(range(50))],
}


def of(statements: list[dict[str, object]], numbers: Iterator[int]) -> Asked:
    applied = policies(statements)
    return ((0, number, applied) for number in numbers)


def roles(many: int) -> Asked:
    applied = [policies([{**ONE[0], "Sid": f"Role{role}"}]) for role in range(many)]
    return ((role, 0, applied[role]) for role in cycle(range(many)))


@pytest.mark.parametrize("statements", FIFTY.values(), ids=FIFTY)
def test_fifty_statements(statements: list[dict[str, object]]) -> None:
    many, one = fastest(of(statements, cycle(range(300))), of(ONE, cycle(range(300))))
    fresh, fresh_one = fastest(of(statements, count(1000)), of(ONE, count(1_000_000)))
    print(f"\n50 statements: {many / one:.2f} times one (limit {MOST}); {fresh / fresh_one:.2f} times one "
          f"for a resource never asked for, {(fresh - fresh_one) / CALLS * 1e6:.0f} µs more; one: "
          f"{one / CALLS * 1e6:.0f} µs")  # fmt: skip
    assert many / one < MOST


def test_a_thousand_roles() -> None:
    many, one = fastest(roles(1000), roles(1))
    print(f"\n1,000 roles: {many / one:.2f} times one (limit {MOST})")
    assert many / one < MOST
