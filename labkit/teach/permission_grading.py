"""The grade of exercise 3: one push has to come through, and nobody may more than before.

Each line stands for one fault of `permission_faults`; the last asks whether a repair was too wide.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from labkit import observe
from labkit.lab import Lab
from labkit.observe.snapshot import Snapshot
from labkit.provision import roles, source
from labkit.teach import permission_faults as faults
from labkit.teach.grading import Grade, first_failure
from labkit.teach.result import line
from labkit.teach.role_checks import allowed_by, too_wide

_START_SECONDS = {True: 10.0, False: 120.0}  # the local AWS, a real account


def mend_the_permissions(lab: Lab) -> Grade:
    """Exercise 3: a push is released by roles that may do their work and no more.

    It pushes one commit, and follows it as far as it comes.
    """
    commit = source.push(lab, "Graded", lambda clone: _touch(clone / "graded.txt"))
    execution = _released(lab, commit)
    build = _build(lab, execution)
    user = faults.releaser(lab)

    def succeeded(phase: str) -> bool:
        return any(
            one["phaseType"] == phase and one.get("phaseStatus") == "SUCCEEDED"
            for one in build.get("phases", [])
        )

    checks: list[tuple[str, str, Callable[[], object]]] = [
        (
            "a push starts the pipeline",
            "read the policy of EventBridge's role: which pipeline may it start?",
            lambda: execution is not None,
        ),
        (
            "the source action stores what it has fetched",
            _told(execution, "Source", "first let a push start the pipeline"),
            lambda: _status(execution, "Source") == "Succeeded",
        ),
        (
            "CodeBuild may act as its role",
            _told(execution, "Build", "first let the source action succeed"),
            lambda: succeeded("PROVISIONING"),
        ),
        (
            "the build reads the encrypted source",
            first_failure(build) or "first let CodeBuild take its role",
            lambda: succeeded("DOWNLOAD_SOURCE"),
        ),
        (
            "the build hands on what it made, and the release ends well",
            first_failure(build) or _told(execution, "Deploy", "first let the build succeed"),
            lambda: execution is not None and execution.status == "Succeeded",
        ),
        (
            "the releaser may hand the pipeline its role, and no other role",
            "allow iam:PassRole on that one role",
            lambda: _may_pass(lab, user, "codepipeline") and not _may_pass(lab, user, "instance"),
        ),
        (
            "nobody may more than the work needs",
            "name actions, resources and principals, instead of *; take no guard away",
            lambda: _as_narrow_as_before(lab),
        ),
    ]
    return Grade("mend the permissions", tuple(line(*one) for one in checks))


def _touch(path: Any) -> None:
    path.write_text(f"{uuid.uuid4()}\n", encoding="utf-8")


def _released(lab: Lab, commit: str) -> Snapshot | None:
    """The execution of a commit when it is over; None when the push has started none."""
    try:
        started = observe.execution_of(lab, commit, timeout=_START_SECONDS[lab.is_local])
    except TimeoutError:
        return None
    return observe.wait_for_execution(lab, started, until=lambda now: now.over)


def _action(execution: Snapshot | None, name: str) -> Any:
    actions = execution.actions if execution else []
    return next((one for one in actions if one.name == name), None)


def _status(execution: Snapshot | None, name: str) -> str | None:
    action = _action(execution, name)
    return action.status if action else None


def _told(execution: Snapshot | None, name: str, otherwise: str) -> str:
    action = _action(execution, name)
    return (action.error if action else None) or otherwise


def _build(lab: Lab, execution: Snapshot | None) -> dict[str, Any]:
    action = _action(execution, "Build")
    if action is None or not action.external_id:
        return {}
    found: dict[str, Any] = lab.client("codebuild").batch_get_builds(ids=[action.external_id])[
        "builds"
    ][0]
    return found


def _may_pass(lab: Lab, user: Any, who: str) -> bool:
    """Whether the user may update the pipeline with the role of `who`; it stays as it is."""
    codepipeline = lab.client("codepipeline")
    declared = codepipeline.get_pipeline(name=lab.pipeline)["pipeline"]
    try:
        user.client("codepipeline").update_pipeline(
            pipeline=declared | {"roleArn": lab.role_arn(who)}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    if who != "codepipeline":
        codepipeline.update_pipeline(pipeline=declared)
    return True


def _as_narrow_as_before(lab: Lab) -> bool:
    iam, s3, kms = lab.client("iam"), lab.client("s3"), lab.client("kms")
    narrow = not any(too_wide(one) for who in roles.ROLES for one in allowed_by(lab, who))
    build = iam.get_role(RoleName=lab.role("codebuild"))["Role"]
    trust = json.dumps(build["AssumeRolePolicyDocument"])
    bounded = build.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    bucket = json.loads(s3.get_bucket_policy(Bucket=lab.bucket)["Policy"])["Statement"]
    denied = {one["Sid"] for one in bucket if one["Effect"] == "Deny"}
    key = kms.get_key_policy(KeyId=faults.key_arn(lab), PolicyName="default")["Policy"]
    principals = [one["Principal"] for one in json.loads(key)["Statement"]]
    return (
        narrow
        and "aws:SourceArn" in trust
        and bounded == faults.boundary_arn(lab)
        and denied >= {"OnlyBuildsWrite", "BuildsDeleteNothing"}
        and not any(one in ("*", {"AWS": "*"}) for one in principals)
    )
