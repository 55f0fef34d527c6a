"""Exercise: a role for a build: who may act as it, and what it may do then.

A build runs as the role, and reads and stores what it has to; beside it somebody with the same
permissions tries the rest.

Pages: "Create a CodeBuild service role"; "The confused deputy problem".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.provision import artifacts, roles
from labkit.provision import build as builds
from labkit.provision.aws import created
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError, taken
from labkit.teach.exercises.people import person, refusal
from labkit.teach.exercises.releases import first_failure, succeeded


def begin(facts: Facts) -> dict[str, Any]:
    """A role that trusts the wrong service, and may look around everywhere."""
    trust = roles.service_trust("codedeploy.amazonaws.com")
    look = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}
    return {
        "trust": {"Version": "2012-10-17", "Statement": [trust]},
        "policy": {"Version": "2012-10-17", "Statement": [look]},
    }


def prepare(lab: Lab, facts: Facts) -> None:
    """A bucket with something to read, the role that a project acts as, and the project."""
    artifacts.create_bucket(lab)
    builds.create_log_group(lab)
    for key in (f"{facts['input']}/list.txt", "secrets/list.txt"):
        lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=b"list")
    trust = json.dumps(roles.trust_policy(lab, "codebuild.amazonaws.com"))
    iam, role = lab.client("iam"), lab.role("codebuild")
    if created(iam.create_role, RoleName=role, AssumeRolePolicyDocument=trust) is None:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
    codebuild, project = lab.client("codebuild"), _project(lab, facts)
    if created(codebuild.create_project, **project) is None:
        codebuild.update_project(**project)


def _project(lab: Lab, facts: Facts) -> dict[str, Any]:
    where = f"--bucket {lab.bucket} --key"
    buildspec = {
        "version": 0.2,
        "phases": {
            "pre_build": {
                "commands": [f"aws s3api get-object {where} {facts['input']}/list.txt list.txt"]
            },
            "build": {
                "commands": [
                    f"aws s3api put-object {where} {facts['output']}/list.txt --body list.txt"
                ]
            },
        },
    }
    return {
        "name": lab.project,
        "source": {"type": "NO_SOURCE", "buildspec": json.dumps(buildspec)},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": builds.IMAGE,
            "computeType": builds.COMPUTE_TYPE,
        },
        "serviceRole": lab.role_arn("codebuild"),
    }


@dataclass(frozen=True)
class Outcome:
    """What came of it: the build, and what others could do with the role."""

    build: dict[str, Any]
    assumed_by_us: str
    trust: str
    beside: list[str]

    def phase(self, name: str, after: str = "", first: str = "") -> bool:
        """Whether a phase of the build succeeded.

        Raises:
            NotYetError: the phase `after` which it comes has not; the message is `first`.
        """
        phases = {one["phaseType"]: one.get("phaseStatus") for one in self.build["phases"]}
        if after and phases.get(after) != "SUCCEEDED":
            raise NotYetError(first)
        return phases.get(name) == "SUCCEEDED"

    @property
    def only_its_work(self) -> bool:
        """Whether nothing beside its work is allowed.

        Raises:
            NotYetError: who may nothing at all may nothing beside either.
        """
        if not succeeded(self.build):
            raise NotYetError("first let the build succeed")
        return not self.beside


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Put both policies, build, and try what the role must not be good for."""
    iam, role = lab.client("iam"), lab.role("codebuild")
    trust = json.dumps(answer["trust"])
    with taken("policy"):
        iam.put_role_policy(
            RoleName=role, PolicyName=roles.POLICY, PolicyDocument=json.dumps(answer["policy"])
        )
    with taken("trust"):
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
    started = lab.client("codebuild").start_build(projectName=lab.project)["build"]["id"]
    built = observe.wait_for_build(lab, started)
    ours = refusal(
        lab.client("sts").assume_role,
        RoleArn=lab.role_arn("codebuild"),
        RoleSessionName="somebody",
    )
    s3 = person(lab, "twin", answer["policy"]).client("s3")
    item = {"Bucket": lab.bucket}
    read, store = f"{facts['input']}/list.txt", f"{facts['output']}/list.txt"
    tries = {
        "read another folder": refusal(s3.get_object, **item, Key="secrets/list.txt"),
        "overwrite what it reads": refusal(s3.put_object, **item, Key=read, Body=b""),
        "delete what it has stored": refusal(s3.delete_object, **item, Key=store),
        "list all buckets": refusal(s3.list_buckets),
    }
    return Outcome(built, ours, trust, [what for what, said in tries.items() if not said])


EXERCISE = Exercise(
    title="write the role",
    lesson="02_roles",
    level=2,
    given={
        "name": ("shop-6", "ledger-6", "tickets-6", "library-6"),
        "input": ("incoming", "orders", "lists", "raw"),
        "output": ("checked", "done", "reports", "ready"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "CodeBuild may act as the role",
            lambda it: it.phase("PROVISIONING"),
            lambda it: first_failure(it.build) or "see the trust policy's principal",
        ),
        Check(
            "the build writes its log, and reads {input}/list.txt",
            lambda it: it.phase("PRE_BUILD", "PROVISIONING", "first let CodeBuild act as the role"),
            lambda it: first_failure(it.build),
        ),
        Check(
            "it stores {output}/list.txt",
            lambda it: it.phase("BUILD", "PRE_BUILD", "first let it read its input"),
            lambda it: first_failure(it.build),
        ),
        Check(
            "nobody but CodeBuild may act as the role, not even you",
            lambda it: bool(it.assumed_by_us),
            "the only principal is the service",
        ),
        Check(
            "and CodeBuild on behalf of this account alone",
            lambda it: "aws:SourceAccount" in it.trust or "aws:SourceArn" in it.trust,
            "a condition on aws:SourceAccount or aws:SourceArn keeps strangers' projects out",
        ),
        Check(
            "beside its work the role may do nothing",
            lambda it: it.only_its_work,
            lambda it: f"it may {', '.join(it.beside)}: name actions and folders",
        ),
    ),
)
