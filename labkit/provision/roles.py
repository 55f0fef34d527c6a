"""The roles: one for each service that acts for us, each allowed just what its work needs.

A policy is made of `allow(actions, resources)` statements. Where AWS lets a permission be narrowed
to a resource, it is; `NOT_NARROWABLE` lists the actions for which AWS knows no resource.
AWS pages: "Create the CodePipeline service role"; "Create a CodeBuild service role"; "Create a
service role for CodeDeploy"; "Create an IAM instance profile for your Amazon EC2 instances";
"The confused deputy problem"; "Service Authorization Reference".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from labkit.lab import Lab, tag_list
from labkit.provision.aws import created, missing_is_fine
from labkit.watched import waiting

POLICY = "labkit"
# Until every Region knows a new role. Page: "Troubleshooting IAM", changes are not always visible.
SETTLE_SECONDS = 15
NOT_NARROWABLE = {"ec2:DescribeInstances", "ec2:DescribeInstanceStatus", "tag:GetResources"}

Statement = dict[str, Any]


def allow(actions: list[str], *resources: str, **condition: Any) -> Statement:
    """One statement: these actions, on these resources (no resource means `*`)."""
    statement: Statement = {"Effect": "Allow", "Action": actions, "Resource": [*resources] or ["*"]}
    return {**statement, "Condition": condition} if condition else statement


def codepipeline(lab: Lab) -> list[Statement]:
    """Reads the source, passes artifacts on, starts builds and deployments."""
    bucket = f"arn:aws:s3:::{lab.bucket}"
    application, fleet = lab.application, f"{lab.application}/{lab.fleet}"
    return [
        allow(["s3:GetBucketVersioning", "s3:GetBucketAcl", "s3:GetBucketLocation"], bucket),
        allow(
            ["s3:PutObject", "s3:GetObject", "s3:GetObjectVersion"],
            # the first 20 characters of the pipeline's name are the prefix of its artifacts
            f"{bucket}/{lab.pipeline[:20]}/*",
        ),
        allow(
            [
                "codecommit:GetBranch",
                "codecommit:GetCommit",
                "codecommit:UploadArchive",
                "codecommit:GetUploadArchiveStatus",
                "codecommit:CancelUploadArchive",
            ],
            lab.arn("codecommit", lab.repository),
        ),
        allow(
            ["codebuild:StartBuild", "codebuild:BatchGetBuilds"],
            lab.arn("codebuild", f"project/{lab.project}"),
        ),
        allow(
            ["codedeploy:CreateDeployment", "codedeploy:GetDeployment"],
            lab.arn("codedeploy", f"deploymentgroup:{fleet}"),
        ),
        allow(
            ["codedeploy:GetApplicationRevision", "codedeploy:RegisterApplicationRevision"],
            lab.arn("codedeploy", f"application:{application}"),
        ),
        allow(
            ["codedeploy:GetDeploymentConfig"],
            lab.arn("codedeploy", "deploymentconfig:CodeDeployDefault.*"),
        ),
    ]


def codebuild(lab: Lab) -> list[Statement]:
    """Writes its log, fetches its source, stores what it built and its test report."""
    bucket = f"arn:aws:s3:::{lab.bucket}"
    log = lab.arn("logs", f"log-group:/aws/codebuild/{lab.project}")
    return [
        allow(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], log, f"{log}:*"
        ),
        allow(["s3:GetBucketAcl", "s3:GetBucketLocation"], bucket),
        allow(["s3:PutObject", "s3:GetObject", "s3:GetObjectVersion"], f"{bucket}/*"),
        allow(["codecommit:GitPull"], lab.arn("codecommit", lab.repository)),
        allow(
            [
                "codebuild:CreateReportGroup",
                "codebuild:CreateReport",
                "codebuild:UpdateReport",
                "codebuild:BatchPutTestCases",
                "codebuild:BatchPutCodeCoverages",
            ],
            lab.arn("codebuild", f"report-group/{lab.project}-*"),
        ),
    ]


def codedeploy(lab: Lab) -> list[Statement]:
    """Finds the instances by their tags. It does not read the bundle: the instances do."""
    return [allow(sorted(NOT_NARROWABLE))]


def instance(lab: Lab) -> list[Statement]:
    """The agent on an instance fetches bundles, and its own updates."""
    return [
        allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{lab.bucket}/*"),
        allow(["s3:GetObject"], f"arn:aws:s3:::aws-codedeploy-{lab.region}/*"),
    ]


def events(lab: Lab) -> list[Statement]:
    """EventBridge starts the pipeline after a push."""
    return [allow(["codepipeline:StartPipelineExecution"], lab.arn("codepipeline", lab.pipeline))]


# who acts -> its service principal, and what it may do
ROLES: dict[str, tuple[str, Callable[[Lab], list[Statement]]]] = {
    "codepipeline": ("codepipeline.amazonaws.com", codepipeline),
    "codebuild": ("codebuild.amazonaws.com", codebuild),
    "codedeploy": ("codedeploy.amazonaws.com", codedeploy),
    "instance": ("ec2.amazonaws.com", instance),
    "events": ("events.amazonaws.com", events),
}


def service_trust(principal: str) -> Statement:
    """The statement that lets a service act as a role."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": principal},
        "Action": "sts:AssumeRole",
    }


def trust_policy(lab: Lab, principal: str) -> dict[str, Any]:
    """Who may act as a role: the service, and only on behalf of this account.

    EC2 alone sends no aws:SourceAccount.
    """
    statement = service_trust(principal)
    if principal != "ec2.amazonaws.com":
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": lab.account_id}}
    return {"Version": "2012-10-17", "Statement": [statement]}


def document(*statements: Statement) -> str:
    """A policy of these statements, as AWS wants it: JSON in a string."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def policy(lab: Lab, who: str) -> dict[str, Any]:
    """What the role of `who` (a key of `ROLES`) may do."""
    return {"Version": "2012-10-17", "Statement": ROLES[who][1](lab)}


def create_role(lab: Lab, who: str) -> str:
    """Create the role of `who`, or bring its policies up to date; returns its ARN."""
    return put_role(lab, who, trust_policy(lab, ROLES[who][0]), policy(lab, who))


def put_role(lab: Lab, who: str, trust: dict[str, Any], may: dict[str, Any]) -> str:
    """Create a role, or bring its policies up to date; returns its ARN.

    Args:
        trust: the policy that says who may act as it.
        may: what it may do, as its one inline policy.
    """
    iam, name, trusted = lab.client("iam"), lab.role(who), json.dumps(trust)
    is_new = created(
        iam.create_role, RoleName=name, AssumeRolePolicyDocument=trusted, Tags=tag_list(lab)
    )
    if is_new is None:
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trusted)
    iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(may))
    return str(iam.get_role(RoleName=name)["Role"]["Arn"])


def create_instance_profile(lab: Lab) -> str:
    """The instance role in the wrapper that EC2 takes; returns the profile's name."""
    iam, name = lab.client("iam"), lab.role("instance")
    created(iam.create_instance_profile, InstanceProfileName=name, Tags=tag_list(lab))
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    if not profile["Roles"]:  # it holds one at most
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def create_roles(lab: Lab) -> dict[str, str]:
    """Create all roles and the instance profile; returns the roles' ARNs by who acts."""
    arns = {who: create_role(lab, who) for who in ROLES}
    create_instance_profile(lab)
    if not lab.is_local:
        with waiting("IAM to know the new roles everywhere", SETTLE_SECONDS):
            time.sleep(SETTLE_SECONDS)
    return arns


def delete_roles(lab: Lab) -> None:
    """Delete the instance profile and every role with its policies."""
    iam, profile = lab.client("iam"), lab.role("instance")
    with missing_is_fine():
        iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=profile)
    with missing_is_fine():
        iam.delete_instance_profile(InstanceProfileName=profile)
    for who in ROLES:
        with missing_is_fine():
            delete_role(lab, who)


def delete_role(lab: Lab, who: str) -> None:
    """Delete a role with its policies.

    Raises:
        botocore.exceptions.ClientError: `NoSuchEntity`.
    """
    iam, name = lab.client("iam"), lab.role(who)
    for policy_name in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy_name)
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=name)
