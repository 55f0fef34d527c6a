"""Lesson 14: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab


def unguarded_push(first_push: str) -> str:
    return "it is on main" if first_push == "done" else "it is refused"


def branch_guarded(lab: Lab, guard: dict[str, Any]) -> Iterator[str]:
    actions, condition = _as_list(guard["Action"]), guard.get("Condition", {})
    if guard.get("Effect") != "Deny":
        yield "she may push already, by another statement. Only a Deny takes that away again"
    if "codecommit:GitPush" not in actions:
        yield "a push is still open: codecommit:GitPush"
    if not {"codecommit:PutFile", "codecommit:CreateCommit"} <= set(actions):
        yield "the branch can be changed without git, by PutFile and CreateCommit"
    if not any(one.startswith("codecommit:Merge") for one in actions):
        yield "a merge changes the branch as well: codecommit:Merge*"
    if "*" in _as_list(guard["Resource"]):
        yield "it holds for every repository of the account; name this one"
    names = condition.get("StringEqualsIfExists", {}).get("codecommit:References")
    if names is None:
        yield "without a condition on codecommit:References she could not push to any branch"
    if _as_list(names) != [f"refs/heads/{lab.branch}"]:
        yield f"the branch's whole name is refs/heads/{lab.branch}"
    if condition.get("Null", {}).get("codecommit:References") != "false":
        yield "a push is first asked about without a branch, and would be refused: the Null line"


def bucket_guarded(lab: Lab, guard: dict[str, Any]) -> Iterator[str]:
    actions, resources = _as_list(guard["Action"]), _as_list(guard["Resource"])
    arn = f"arn:aws:s3:::{lab.bucket}"
    allowed = guard.get("Condition", {}).get("ArnNotEquals", {}).get("aws:PrincipalArn", [])
    if guard.get("Effect") != "Deny":
        yield "people whose own policy allows s3:* need no other Allow. Only a Deny stops them"
    if guard.get("Principal") not in ("*", {"AWS": "*"}):
        yield "it holds for some people only. It has to hold for everybody except those whom the condition names"
    if "s3:PutObject" not in actions:
        yield "writing is still open: s3:PutObject"
    if not {"s3:PutBucketPolicy", "s3:DeleteBucketPolicy"} <= set(actions):
        yield "Ana could take this policy away first: s3:PutBucketPolicy and s3:DeleteBucketPolicy"
    if not {arn, f"{arn}/*"} <= set(resources):
        yield "the bucket is one resource and its objects are another: both have to be named"
    if lab.role_arn("codepipeline") not in allowed or lab.role_arn("codebuild") not in allowed:
        yield "the pipeline and its build are shut out as well: ArnNotEquals, aws:PrincipalArn, insiders"


def approver_allowed(lab: Lab, answer_it: dict[str, Any]) -> Iterator[str]:
    actions, resources = _as_list(answer_it["Action"]), _as_list(answer_it["Resource"])
    if any("*" in one for one in actions):
        yield f"{', '.join(actions)} lets Rui start releases too, and then approve their own"
    if actions != ["codepipeline:PutApprovalResult"]:
        yield f"it allows {', '.join(actions)}; answering is codepipeline:PutApprovalResult"
    wanted = f"{lab.arn('codepipeline', lab.pipeline)}/Prod/Approve"
    if resources != [wanted]:
        yield f"it is about {', '.join(resources)}; the action's own ARN ends in /Prod/Approve"


def old_session(the_old_one: str) -> str:
    return "it goes through" if the_old_one == "done" else "it is refused"


def sessions_revoked(revoke: dict[str, Any], now: str) -> Iterator[str]:
    condition = revoke.get("Condition", {})
    if revoke.get("Effect") != "Deny":
        yield "only a Deny stops keys that were handed out"
    if (_as_list(revoke["Action"]), _as_list(revoke["Resource"])) != (["*"], ["*"]):
        yield "the old session could still do something else: every action, on every resource"
    if not condition:
        yield "the role would be of no use any more, to new sessions either: a condition"
    times = [condition.get(name, {}) for name in ("DateLessThan", "DateLessThanEquals")]
    if not any("aws:TokenIssueTime" in one for one in times):
        yield "it should hold for sessions that began before now: DateLessThanEquals, aws:TokenIssueTime"
    if now not in [one.get("aws:TokenIssueTime") for one in times]:
        yield f"the time to compare with is now, {now}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
