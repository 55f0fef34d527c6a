"""The table of decisions: who asks for what under which policies, and what IAM says.

A file of `decisions/` is a section. Its `page` is where AWS says so, its `request` what is asked for
unless a row asks for something else. A row has

    caller         one of CALLERS (alice, unless it says)
    action, resource, account (the resource's), context
    identity, boundary, session, policy (the resource's own), grants, scps (a list of levels), rcps, of
    condition      for short: an identity policy that allows all on this condition
    deny           for short: one that allows all, and denies all on this condition
    allowed        what comes out
    by             the kind of policy that decided (of an allow: which granted it)
    explicit       whether a statement denied it
    says           what AWS's sentence ends with

A policy is a statement, a list of them, or a whole document; without a Version it is of 2012-10-17.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.cloud.iam.decision import Decision, Of, Policies, decide
from labkit.cloud.iam.principals import ANONYMOUS, Caller
from labkit.cloud.iam.statements import Policy, Request
from tests import tables

OWN, OTHER = "111122223333", "444455556666"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}

CALLERS = {
    "alice": Caller(f"arn:aws:iam::{OWN}:user/alice", OWN, canonical_id="79a59df900b949e5"),
    "build": Caller(
        f"arn:aws:sts::{OWN}:assumed-role/build/run-1",
        OWN,
        issuer=f"arn:aws:iam::{OWN}:role/service/build",
    ),
    "federated alice": Caller(
        f"arn:aws:sts::{OWN}:federated-user/alice", OWN, issuer=f"arn:aws:iam::{OWN}:user/alice"
    ),
    "root": Caller(f"arn:aws:iam::{OWN}:root", OWN),
    "bob": Caller(f"arn:aws:iam::{OTHER}:user/bob", OTHER, canonical_id="4d1fe0aa8c5b21c7"),
    "release": Caller(
        f"arn:aws:sts::{OTHER}:assumed-role/release/run-7",
        OTHER,
        issuer=f"arn:aws:iam::{OTHER}:role/release",
    ),
    "other root": Caller(f"arn:aws:iam::{OTHER}:root", OTHER),
    "codedeploy": Caller(
        "codedeploy.amazonaws.com",
        "",
        services=("codedeploy.amazonaws.com", "codedeploy.us-east-1.amazonaws.com"),
    ),
    "codepipeline": Caller("codepipeline.amazonaws.com", "", services=("codepipeline.amazonaws.com",)),
    "web visitor": Caller("web visitor", "", provider="cognito-identity.amazonaws.com"),
    "employee": Caller("employee", "", provider=f"arn:aws:iam::{OWN}:saml-provider/corp"),
    "nobody": Caller(ANONYMOUS, ""),
}  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """Every row, with its section's request in it and an id."""
    for path in sorted(Path(__file__).with_name("decisions").glob("*.yaml")):
        section = tables.read(path)
        for row in section["rows"]:
            known = {"page": section["page"], **section.get("request", {})}
            yield {**known, **row, "id": f"{path.stem}: {row['case']}"}


def request_of(row: dict[str, Any]) -> Request:
    context = {key.lower(): _listed(value) for key, value in row.get("context", {}).items()}
    caller = CALLERS[row.get("caller", "alice")]
    return Request(caller, row["action"], row["resource"], str(row.get("account", OWN)), context)


def identity_of(row: dict[str, Any]) -> Any:
    """The statements of who asks, those for short written out; None without any."""
    if "deny" in row:
        return [EVERYTHING, {**EVERYTHING, "Effect": "Deny", "Condition": row["deny"]}]
    if "condition" in row:
        return {**EVERYTHING, "Condition": row["condition"]}
    return row.get("identity")


def policies_of(row: dict[str, Any]) -> Policies:
    identity = identity_of(row)
    return Policies(
        identity=() if identity is None else (policy(identity, "own"),),
        boundary=policy(row["boundary"], "boundary") if "boundary" in row else None,
        session=(policy(row["session"], "session"),) if "session" in row else None,
        scps=_levels(row["scps"]) if "scps" in row else None,
        rcps=tuple(policy(one, "rcp") for one in row.get("rcps", [])),
        resource=policy(row["policy"], "policy") if "policy" in row else None,
        grants=tuple(policy(grant, "grant") for grant in row.get("grants", [])),
        of=Of(row.get("of", "anything")),
    )


def decided(row: dict[str, Any]) -> Decision:
    return decide(request_of(row), policies_of(row))


def policy(written: Any, name: str = "") -> Policy:
    arn = written.get("arn", "") if isinstance(written, dict) else ""
    if isinstance(written, dict) and "Statement" in written:
        written = {key: value for key, value in written.items() if key != "arn"}
    elif not isinstance(written, str):
        written = {"Version": "2012-10-17", "Statement": written}
    return Policy(written if isinstance(written, str) else json.dumps(written), name, arn)


def _levels(scps: list[Any]) -> tuple[tuple[Policy, ...], ...]:
    return tuple(tuple(policy(one, "scp") for one in level) for level in scps)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
