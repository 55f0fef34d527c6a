"""Exercise 3: one push has to come through six tightened policies, and nobody may more than before.

Each line of the grade stands for one fault of `permission_faults`; the last asks whether a repair was
too wide.

Page: "Policy evaluation logic" in the IAM User Guide.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from labkit import observe
from labkit.lab import Lab
from labkit.observe.snapshot import Snapshot
from labkit.provision import provision, roles, source
from labkit.teach.exercises import permission_faults as faults
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.names import Names
from labkit.teach.exercises.releases import first_failure
from labkit.teach.role_checks import allowed_by, too_wide

_START_SECONDS = 10.0


def begin(facts: Facts) -> dict[str, Any]:
    """The six policies as the weekend has left them."""
    return faults.faulty(Names(facts["name"]), facts["old"])


def prepare(lab: Lab, facts: Facts) -> None:
    """A whole pipeline, and then the weekend."""
    provision(lab)
    roles.create_roles(lab)
    faults.make(lab, begin(facts))


@dataclass(frozen=True)
class Outcome:
    """What came of one push: the execution that it started, and the build in it."""

    lab: Lab
    execution: Snapshot | None
    build: dict[str, Any]

    def action(self, name: str) -> Any:
        """An action of the execution; None where it has not come so far."""
        actions = self.execution.actions if self.execution else []
        return next((one for one in actions if one.name == name), None)

    def told(self, name: str) -> str:
        """What an action says of its failure."""
        action = self.action(name)
        return str((action.error if action else None) or "read the action's error")

    @property
    def fetched(self) -> bool:
        """Whether the source action has stored what it fetched."""
        if self.execution is None:
            raise NotYetError("first let a push start the pipeline")
        action = self.action("Source")
        return bool(action and action.status == "Succeeded")

    def build_phase(self, name: str, first: str) -> bool:
        """Whether a phase of the build succeeded.

        Raises:
            NotYetError: the build has not come so far.
        """
        if self.action("Build") is None or self.action("Build").status is None:
            raise NotYetError("first let the source action succeed")
        phases = {one["phaseType"]: one.get("phaseStatus") for one in self.build.get("phases", [])}
        if name not in phases and name != "PROVISIONING":
            raise NotYetError(first)
        return phases.get(name) == "SUCCEEDED"

    @property
    def released(self) -> bool:
        """Whether the build has handed on what it made, and all ended well."""
        if not self.build_phase("DOWNLOAD_SOURCE", "first let CodeBuild act as its role"):
            raise NotYetError("first let the build read its source")
        return bool(self.execution and self.execution.status == "Succeeded")

    @property
    def passes_one_role(self) -> bool:
        """Whether the releaser may pass the pipeline's role, and not another."""
        user = faults.releaser(self.lab)
        return _may_pass(self.lab, user, "codepipeline") and not _may_pass(
            self.lab, user, "instance"
        )


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Put the policies that were handed in, push a commit, and follow it as far as it comes."""
    faults.put(lab, answer)
    commit = source.push(lab, "Graded", lambda clone: _touch(clone / "graded.txt"))
    execution = _released(lab, commit)
    return Outcome(lab, execution, _build(lab, execution))


def _touch(path: Path) -> None:
    path.write_text(f"{uuid.uuid4()}\n", encoding="utf-8")


def _released(lab: Lab, commit: str) -> Snapshot | None:
    """The execution of a commit when it is over; None when the push has started none."""
    try:
        started = observe.execution_of(lab, commit, timeout=_START_SECONDS)
    except TimeoutError:
        return None
    return observe.wait_for_execution(lab, started, until=lambda now: now.over)


def _build(lab: Lab, execution: Snapshot | None) -> dict[str, Any]:
    action = (
        next((one for one in execution.actions if one.name == "Build"), None) if execution else None
    )
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
        # any other is CodePipeline's own, of a role that it cannot act as: IAM has let the user pass it
        return bool(error.response["Error"]["Code"] != "AccessDeniedException")
    if who != "codepipeline":
        codepipeline.update_pipeline(pipeline=declared)
    return True


def _as_narrow_as_before(lab: Lab) -> bool:
    iam, s3, kms = lab.client("iam"), lab.client("s3"), lab.client("kms")
    user = iam.get_user_policy(UserName=faults.releaser_name(lab), PolicyName=roles.POLICY)
    of_user: list[dict[str, Any]] = user["PolicyDocument"]["Statement"]
    of_roles = [one for who in roles.ROLES for one in allowed_by(lab, who)]
    narrow = not any(map(too_wide, [*of_roles, *of_user]))
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


EXERCISE = Exercise(
    title="fix the permissions",
    lesson="12_least_privilege",
    level=3,
    given={"name": ("shop-3", "ledger-3", "tickets-3", "library-3", "weather-3", "menu-3")},
    hidden={"old": ("old", "legacy", "v1", "before")},
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "a push starts the pipeline",
            lambda it: it.execution is not None,
            "read the policy of EventBridge's role: which pipeline may it start?",
        ),
        Check(
            "the source action stores what it has fetched",
            lambda it: it.fetched,
            lambda it: it.told("Source"),
        ),
        Check(
            "CodeBuild may act as its role",
            lambda it: it.build_phase("PROVISIONING", ""),
            lambda it: it.told("Build"),
        ),
        Check(
            "the build reads the encrypted source",
            lambda it: it.build_phase("DOWNLOAD_SOURCE", "first let CodeBuild act as its role"),
            lambda it: first_failure(it.build),
        ),
        Check(
            "the build hands on what it made, and the release ends well",
            lambda it: it.released,
            lambda it: first_failure(it.build) or it.told("Deploy"),
        ),
        Check(
            "{name}-releaser may hand the pipeline its role, and no other role",
            lambda it: it.passes_one_role,
            "allow iam:PassRole on that one role",
        ),
        Check(
            "nobody may more than the work needs",
            lambda it: _as_narrow_as_before(it.lab),
            "name actions, resources and principals, instead of *; take no guard away",
        ),
    ),
)
