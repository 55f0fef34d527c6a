"""What holds of every decision, whatever the policies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labkit.cloud.iam.conditions import condition
from labkit.cloud.iam.decision import decide, message
from tests.iam.generating import ACTION_PATTERNS, RESOURCE_PATTERNS, cases, contexts, statements
from tests.iam.table import CALLERS, decided, policies_of, request_of

KINDS = ["identity", "boundary", "session", "policy", "scps"]
OPERATORS = [
    *(f"String{name}" for name in ("Equals", "NotEquals", "EqualsIgnoreCase", "Like", "NotLike")),
    *(f"Numeric{name}" for name in ("Equals", "NotEquals", "LessThan", "GreaterThanEquals")),
    *(f"Date{name}" for name in ("Equals", "NotEquals", "LessThan", "GreaterThanEquals")),
    "Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotLike", "Null",
]  # fmt: skip


def with_statement(row: dict[str, Any], kind: str, statement: dict[str, Any]) -> dict[str, Any]:
    if kind == "scps":
        first, *rest = row.get("scps", [[[]]])
        return {**row, "scps": [[*first, statement], *rest]}
    known = row.get(kind, [])
    if kind == "policy":
        statement = {**statement, "Principal": "*"}
    return {**row, kind: [*known, statement]}


@given(cases(), st.sampled_from(KINDS))
def test_an_explicit_deny_always_wins(row: dict[str, Any], kind: str) -> None:
    if not CALLERS[row["caller"]].has_identity:
        kind = "policy"
    denied = decided(with_statement(row, kind, {"Effect": "Deny", "Action": "*", "Resource": "*"}))
    assert not denied.allowed and denied.explicit


@given(cases(effects=["Allow"], negated=False), statements(["Allow"], negated=False), st.data())
def test_adding_an_allow_never_denies(row: dict[str, Any], added: Any, data: Any) -> None:
    # a boundary, a session policy or an organization that was not there before does limit
    kind = data.draw(st.sampled_from(["identity", "policy", *(k for k in KINDS if k in row)]))
    if decided(row).allowed:
        assert decided(with_statement(row, kind, added)).allowed


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_statements_never_matters(row: dict[str, Any], random: Any) -> None:
    shuffled = dict(row)
    for kind in ("identity", "boundary", "session", "policy"):
        if kind in row:
            shuffled[kind] = random.sample(row[kind], len(row[kind]))
    first, second = decided(row), decided(shuffled)
    assert (first.allowed, first.explicit, first.kind) == (
        second.allowed,
        second.explicit,
        second.kind,
    )


@given(cases(), st.sampled_from(OPERATORS[:-1]), st.text(max_size=8))
def test_an_unknown_condition_key_never_allows(
    row: dict[str, Any], operator: str, wanted: str
) -> None:
    """What is unequal to anything is unequal to nothing, too: the User Guide has it so."""
    if "Not" in operator:
        operator = "ForAnyValue:" + operator
    limited = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    limited["Condition"] = {operator: {"aws:NoSuchKey": wanted}}  # type: ignore[assignment]
    for kind in ("identity", "policy"):
        assert decided(with_statement(row, kind, limited)).allowed == decided(row).allowed


@given(cases(effects=["Allow"], negated=False), st.data())
def test_widening_a_resource_or_an_action_never_removes_an_allow(
    row: dict[str, Any], data: Any
) -> None:
    wider = json.loads(json.dumps(row))
    for kind in ("identity", "boundary", "session", "policy"):
        for statement in wider.get(kind, []):
            statement["Resource"].append(data.draw(st.sampled_from(RESOURCE_PATTERNS)))
            statement["Action"].append(data.draw(st.sampled_from(ACTION_PATTERNS)))
    if decided(row).allowed:
        assert decided(wider).allowed


@given(cases(effects=["Allow"], negated=False), st.data())
def test_a_star_at_the_end_never_removes_an_allow(row: dict[str, Any], data: Any) -> None:
    wider = json.loads(json.dumps(row))
    for statement in wider["identity"]:
        at = data.draw(st.integers(0, len(statement["Resource"]) - 1))
        statement["Resource"][at] += "*"
    if decided(row).allowed:
        assert decided(wider).allowed


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["Effect", "Action", "NotAction", "Resource", "Condition", "Principal", "AWS", "x"]),
        inner,
        max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@given(cases(), anything, st.sampled_from(["Allow", "Deny", None]))
def test_whatever_is_written_is_decided(row: dict[str, Any], written: Any, effect: Any) -> None:
    if isinstance(written, dict) and effect:
        written = {**written, "Effect": effect}
    for text in (json.dumps(written), json.dumps({"Statement": written}), str(written)):
        policies = policies_of({**row, "policy": text, "identity": text, "boundary": text})
        decision = decide(request_of(row), policies)
        assert decision.allowed or message(decision, request_of(row))


@given(
    st.sampled_from(OPERATORS),
    st.sampled_from(["", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(["", "IfExists"]),
    st.lists(st.text(max_size=12), max_size=2),
    st.lists(st.text(max_size=12), max_size=2),
)
def test_whatever_is_compared_is_decided(
    operator: str, quantity: str, suffix: str, wanted: list[str], values: list[str]
) -> None:
    name = quantity + operator + suffix
    for deny in (True, False):
        holds = condition(name, "key", wanted, variables=True, deny=deny)
        assert holds({"key": values}) in (True, False)


@given(st.text(max_size=30), st.text(alphabet="ab*?:/", max_size=30), contexts())
def test_a_pattern_fits_the_text_that_it_is_and_takes_no_time(
    text: str, pattern: str, context: Any
) -> None:
    row = {"action": "s3:GetObject", "resource": text + pattern, "context": context}
    written = text.replace("$", "${$}").replace("*", "${*}").replace("?", "${?}") + pattern
    assert decided(
        {**row, "identity": {"Effect": "Allow", "Action": "*", "Resource": written}}
    ).allowed


def test_many_stars_take_no_time() -> None:
    long = "arn:aws:s3:::shop/" + "a" * 1000
    pattern = "arn:aws:s3:::shop/" + "a*" * 100 + "b"
    row = {"action": "s3:GetObject", "resource": long}
    assert not decided(
        {**row, "identity": {"Effect": "Allow", "Action": "*", "Resource": pattern}}
    ).allowed
    like = {"StringLike": {"key": "*a" * 100 + "b"}}
    assert not decided({**row, "condition": like, "context": {"key": "a" * 1000}}).allowed
