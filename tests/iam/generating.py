"""Random policies and requests, of few names, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.iam.table import CALLERS, OWN

ACTIONS = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]
ACTION_PATTERNS = [*ACTIONS, "*", "s3:*", "s3:Get*", "s3:?utObject", "SQS:*"]
RESOURCES = ["arn:aws:s3:::shop/a", "arn:aws:s3:::shop/home/alice", "arn:aws:sqs:us-east-1:111122223333:orders"]  # fmt: skip
RESOURCE_PATTERNS = [*RESOURCES, "*", "arn:aws:s3:::*", "arn:aws:s3:::shop/*", "arn:aws:s3:::sh?p/*",
                     "arn:aws:sqs:*:*:orders", "arn:aws:s3:::shop/home/${aws:username}"]  # fmt: skip
CONDITIONS: list[dict[str, Any]] = [
    {},
    {"StringEquals": {"aws:username": "alice"}},
    {"StringNotLike": {"aws:username": "a*"}},
    {"StringEqualsIfExists": {"aws:username": ["bob", "carol"]}},
    {"NumericLessThan": {"s3:max-keys": "10"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    {"ForAnyValue:StringEquals": {"aws:TagKeys": ["team", "cost"]}},
    {"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]}},
    {"Null": {"aws:username": "true"}},
]
CONTEXTS = {
    "aws:username": [["alice"], ["bob"], ["Alice*"]],
    "s3:max-keys": [["5"], ["50"], ["many"]],
    "aws:securetransport": [["true"], ["false"]],
    "aws:sourceip": [["10.1.2.3"], ["192.0.2.1"], ["::1"]],
    "aws:tagkeys": [["team"], ["team", "owner"], []],
}
PRINCIPALS = [
    "*",
    {"AWS": OWN},
    {"AWS": CALLERS["alice"].arn},
    {"AWS": CALLERS["build"].arn},
    {"AWS": CALLERS["build"].issuer},
    {"AWS": ["444455556666", CALLERS["alice"].arn]},
    {"Service": "codepipeline.amazonaws.com"},
]


def contexts() -> st.SearchStrategy[dict[str, list[str]]]:
    return st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in CONTEXTS.items()})


def some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=str)


@st.composite
def statements(draw: Any, effects: list[str], *, negated: bool = True, principal: bool = False) -> dict[str, Any]:  # fmt: skip
    """One statement: of these effects, with Not elements or without."""

    def element(name: str) -> str:
        return draw(st.sampled_from([name, name, f"Not{name}"])) if negated else name

    made: dict[str, Any] = {
        "Effect": draw(st.sampled_from(effects)),
        element("Action"): draw(some(ACTION_PATTERNS)),
        element("Resource"): draw(some(RESOURCE_PATTERNS)),
        "Condition": draw(st.sampled_from(CONDITIONS)),
    }
    if principal:
        made["Principal"] = draw(st.sampled_from(PRINCIPALS))
    return made


def documents(**settings: Any) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(statements(settings.pop("effects", ["Allow", "Deny"]), **settings), max_size=4)


@st.composite
def asked(draw: Any) -> dict[str, Any]:
    """A row of the table, without its policies."""
    return {
        "caller": draw(st.sampled_from(["alice", "build", "bob", "release", "codepipeline", "federated alice"])),
        "action": draw(st.sampled_from(ACTIONS)),
        "resource": draw(st.sampled_from(RESOURCES)),
        "context": draw(contexts()),
        "of": draw(st.sampled_from(["anything", "anything", "key", "role"])),
    }  # fmt: skip


@st.composite
def cases(draw: Any, **settings: Any) -> dict[str, Any]:
    """A row with any of the kinds of policies."""
    row: dict[str, Any] = draw(asked())
    own = documents(**settings)
    row["identity"] = draw(own)
    for kind in ("boundary", "session"):
        if draw(st.booleans()):
            row[kind] = draw(own)
    if draw(st.booleans()):
        row["policy"] = draw(documents(principal=True, **settings))
    if draw(st.booleans()):
        row["scps"] = [[draw(own)], [[{"Effect": "Allow", "Action": "*", "Resource": "*"}]]]
    return row
