"""A release crosses accounts, and each of the classic mistakes stops it as on AWS.

AWS page: "Create a pipeline that uses resources from another AWS account" (CodePipeline User Guide).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from labkit import observe
from labkit.lab import Lab
from labkit.provision import accounts, artifacts, deploy, pipeline, roles, source
from labkit.provision.aws import missing_is_fine
from tests.conftest import Aws

pytestmark = [pytest.mark.slow, pytest.mark.guests]

APPSPEC = """version: 0.0
os: linux
files:
  - source: /page.txt
    destination: /srv/page
"""
TOO_MANY_FAILED = (
    "The overall deployment failed because too many individual instances failed deployment"
)


@dataclass(frozen=True)
class Estate:
    """The account of the tools, the account of production, and what they share."""

    tools: Lab
    production: Lab
    key: str
    role: str

    def connect(self) -> None:
        """Have both sides allow what a release needs."""
        other = self.production.account_id
        accounts.share_key(self.tools, self.key, other)
        accounts.share_bucket(self.tools, other)
        accounts.create_release_role(self.production, self.tools, self.key)
        accounts.read_artifacts(self.production, self.tools, self.key)
        accounts.assume_release_role(self.tools, self.key, self.role)
        self.declare(self.key)

    def declare(self, key: str | None) -> None:
        """Source and Deploy alone: a build has its own tests."""
        declared = accounts.declaration(self.tools, key, self.role)
        source_stage, _, deploy_stage = declared["stages"]
        deploy_stage["actions"][0]["inputArtifacts"] = [{"name": "SourceOutput"}]
        declared["stages"] = [source_stage, deploy_stage]
        codepipeline = self.tools.client("codepipeline")
        try:
            codepipeline.update_pipeline(pipeline=declared)
        except codepipeline.exceptions.PipelineNotFoundException:
            codepipeline.create_pipeline(pipeline=declared)
            observe.wait_for_execution(self.tools)

    def release(self) -> observe.Snapshot:
        return observe.wait_for_execution(self.tools, pipeline.start(self.tools))

    def failure(self) -> dict[str, str]:
        """What the Deploy action says, where it failed; and, of a deployment, what the host says."""
        state = self.tools.client("codepipeline").get_pipeline_state(name=self.tools.pipeline)
        latest = state["stageStates"][-1]["actionStates"][0]["latestExecution"]
        deployment = latest.get("externalExecutionId")
        host = {"host": self._diagnosis(deployment)} if deployment else {}
        return {**latest["errorDetails"], **host}

    def _diagnosis(self, deployment: str) -> str:
        codedeploy = self.production.client("codedeploy")
        [target] = codedeploy.list_deployment_targets(deploymentId=deployment)["targetIds"]
        found = codedeploy.get_deployment_target(deploymentId=deployment, targetId=target)
        events = found["deploymentTarget"]["instanceTarget"]["lifecycleEvents"]
        [failed] = [event for event in events if event["status"] == "Failed"]
        return f"{failed['lifecycleEventName']}: {failed['diagnostics']['message']}"

    def trust(self, principal: str) -> None:
        trust = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
        self.production.client("iam").update_assume_role_policy(
            RoleName=self.production.role(accounts.RELEASE),
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )


def write(clone: Path) -> None:
    (clone / "appspec.yml").write_text(APPSPEC)
    (clone / "page.txt").write_text("released")


@pytest.fixture(scope="module")
def estate(aws: Aws) -> Iterator[Estate]:
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        tools = Lab("crossing")
        accounts.create_organization(tools)
        production = accounts.enter(tools, accounts.create_account(tools, "crossing-production"))
        roles.create_role(tools, "codepipeline")
        artifacts.create_bucket(tools)
        source.create_repository(tools)
        source.push(tools, "A page", write)
        key = accounts.create_key(tools)
        accounts.create_fleet(production, tools, key)
        made = Estate(tools, production, key, production.role_arn(accounts.RELEASE))
        yield made
        pipeline.delete_pipeline(tools)
        accounts.delete_target(production)
        accounts.delete_key(tools)
        artifacts.delete_bucket(tools)
        source.delete_repository(tools)
        with missing_is_fine():
            roles.delete_role(tools, "codepipeline")


@pytest.fixture
def connected(estate: Estate) -> Estate:
    estate.connect()
    return estate


def test_a_pipeline_of_the_tools_account_deploys_into_production(
    connected: Estate, aws: Aws
) -> None:
    tools, production = connected.tools, connected.production
    assert tools.account_id != production.account_id
    assert connected.release().status == "Succeeded"
    [instance] = deploy.instances(production)
    page = aws.guests_dir / "hosts" / instance["InstanceId"] / "srv/page/page.txt"
    assert page.read_text() == "released"
    assert (
        tools.client("codedeploy").list_applications()["applications"].count(tools.application) == 0
    )
    assert production.client("codedeploy").list_deployments(
        applicationName=production.application, deploymentGroupName=production.fleet
    )["deployments"]


KEY, BUCKET = "kms:Decrypt on resource: {key}", "s3:GetObject on resource: arn:aws:s3:::{bucket}/"
NOT_ASSUMED = "{pipeline_role} is not authorized to perform AssumeRole on role {role}"
# what is left out -> how, the code and the text of the pipeline's action, and what the host says of it
MISTAKES: dict[str, tuple[Callable[[Estate], Any], str, str, str]] = {
    "the key's policy does not name the other account": (
        lambda estate: accounts.share_key(estate.tools, estate.key),
        "JobFailed", TOO_MANY_FAILED,
        f"{KEY} because no resource-based policy allows the kms:Decrypt action",
    ),
    "the bucket's policy does not name the other account": (
        lambda estate: accounts.share_bucket(estate.tools),
        "JobFailed", TOO_MANY_FAILED,
        f"{BUCKET}{{object}} because no resource-based policy allows the s3:GetObject action",
    ),
    "the role does not trust the account of the tools": (
        lambda estate: estate.trust(f"arn:aws:iam::{estate.production.account_id}:root"),
        "PermissionError", NOT_ASSUMED, "",
    ),
    "the artifacts are encrypted with aws/s3": (
        lambda estate: estate.declare(None),
        "JobFailed", TOO_MANY_FAILED,
        "kms:Decrypt on resource: arn:aws:kms:us-east-1:{account}:key/{managed} "
        "because no resource-based policy allows the kms:Decrypt action",
    ),
    "the role asks for an ExternalId, and a pipeline sends none": (
        lambda estate: accounts.create_release_role(
            estate.production, estate.tools, estate.key, external_id="labkit"
        ),
        "PermissionError", NOT_ASSUMED, "",
    ),
    "the other account's role is not allowed the key": (
        lambda estate: accounts.read_artifacts(estate.production, estate.tools, None),
        "JobFailed", TOO_MANY_FAILED,
        f"{KEY} because no identity-based policy allows the kms:Decrypt action",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_forgotten_stops_the_release(connected: Estate, mistake: str) -> None:
    forget, code, text, on_host = MISTAKES[mistake]
    forget(connected)
    assert connected.release().status == "Failed"
    tools, found = connected.tools, connected.failure()
    known = {
        "account": tools.account_id,
        "bucket": tools.bucket,
        "key": connected.key,
        "managed": managed_key(tools),
        "object": newest_artifact(tools),
        "pipeline_role": tools.role_arn("codepipeline"),
        "role": connected.role,
    }
    assert found["code"] == code
    assert text.format_map(known) in found["message"]
    assert on_host.format_map(known) in found.get("host", "")
    assert bool(on_host) is ("host" in found)


def managed_key(lab: Lab) -> str:
    aliases = lab.client("kms").list_aliases()["Aliases"]
    return next(one["TargetKeyId"] for one in aliases if one["AliasName"] == "alias/aws/s3")


def newest_artifact(lab: Lab) -> str:
    found = lab.client("s3").list_objects_v2(Bucket=lab.bucket)["Contents"]
    return max(found, key=lambda one: one["LastModified"])["Key"]


def test_a_pipeline_is_not_declared_with_a_role_that_it_may_not_assume(connected: Estate) -> None:
    connected.trust(f"arn:aws:iam::{connected.production.account_id}:root")
    with pytest.raises(ClientError, match="InvalidStructureException") as error:
        connected.declare(connected.key)
    told = NOT_ASSUMED.format(
        pipeline_role=connected.tools.role_arn("codepipeline"), role=connected.role
    )
    assert told in str(error.value)


def test_who_knows_the_external_id_assumes_the_role(connected: Estate) -> None:
    sts, role = connected.tools.client("sts"), connected.role
    accounts.create_release_role(
        connected.production, connected.tools, connected.key, external_id="labkit"
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=role, RoleSessionName="by-hand")
    found = sts.assume_role(RoleArn=role, RoleSessionName="by-hand", ExternalId="labkit")
    assert connected.production.account_id in found["AssumedRoleUser"]["Arn"]


def test_a_guardrail_stops_the_release_whatever_its_role_may(connected: Estate) -> None:
    frozen = {"Effect": "Deny", "Action": "codedeploy:CreateDeployment", "Resource": "*"}
    guardrail = accounts.create_guardrail(
        connected.tools, "frozen", connected.production.account_id, frozen
    )
    try:
        assert connected.release().status == "Failed"
    finally:
        accounts.delete_guardrail(connected.tools, "frozen")
    failure = connected.failure()
    assert failure["code"] == "PermissionError"
    assert "with an explicit deny in a service control policy" in failure["message"]
    assert guardrail in failure["message"]
