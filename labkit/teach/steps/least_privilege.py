"""Lesson 12: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from labkit.lab import Lab
from labkit.observe import Snapshot, audit
from labkit.provision import trail


def stage_denied(now: Snapshot) -> str:
    return next(stage.name for stage in now.stages if stage.status == "Failed")


def event_denied(first: pd.Series[Any]) -> str:
    return str(first["event"])


def states_kept(kept_states: list[str]) -> Iterator[str]:
    if audit.USED not in kept_states:
        yield "what was used is what the role cannot do without: audit.USED"
    if audit.UNSEEN not in kept_states:
        yield "what leaves no event may have been used all the time: audit.UNSEEN"
    if len(kept_states) > 2:
        yield "with the rest the policy would stay as wide as it was"


def robot_without_pass_role(first_try: str) -> str:
    return "yes" if first_try == "created" else "no"


def pass_role_written(lab: Lab, pass_role: dict[str, Any]) -> Iterator[str]:
    actions, resources = _as_list(pass_role["Action"]), _as_list(pass_role["Resource"])
    if actions != ["iam:PassRole"]:
        yield f"it allows {', '.join(actions)}; handing over a role is iam:PassRole"
    if "*" in resources:
        yield "it could hand over any role, an administrator's as well. Name the one"
    if resources != [lab.role_arn("codebuild")]:
        yield f"the role of the builds is {lab.role_arn('codebuild')}"
    condition = pass_role.get("Condition", {}).get("StringEquals", {})
    if "iam:PassedToService" not in condition:
        yield "it could hand the role to any service that takes one: a condition on iam:PassedToService"
    if _as_list(condition["iam:PassedToService"]) != ["codebuild.amazonaws.com"]:
        yield f"it may hand the role to {condition['iam:PassedToService']}, and CodeBuild should have it"


def old_key_off(lab: Lab, key: dict[str, str], second: dict[str, str]) -> Iterator[str]:
    iam = lab.client("iam")
    listed = iam.list_access_keys(UserName=trail.robot(lab))["AccessKeyMetadata"]
    status = {one["AccessKeyId"]: one["Status"] for one in listed}
    if status.get(second["AccessKeyId"]) != "Active":
        yield "you have turned off the new key, which the robot works with now"
    if key["AccessKeyId"] not in status:
        yield "the old key is deleted, and that cannot be undone. Make it Inactive first, and wait"
    if status[key["AccessKeyId"]] != "Inactive":
        yield "the old key still works: update_access_key, with the status Inactive"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
