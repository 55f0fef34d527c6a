"""Six faults in the permissions of a pipeline, for exercise 3: each is a classic, five hide behind another.

In the order in which a release meets them: EventBridge's role may start some other pipeline, the bucket
policy denies the pipeline, CodeBuild's role trusts it for some other project, the key policy forgets
the build, and a permissions boundary caps it. Beside them somebody may update the pipeline, but not
pass its role.

AWS pages: "Grant a user permissions to pass a role to an AWS service"; "The confused deputy problem";
"Key policies in AWS KMS"; "Permissions boundaries for IAM entities"; "Use identity-based policies for
Amazon EventBridge".
"""

from __future__ import annotations

import json
from typing import Any

import boto3

from labkit.lab import Lab, tag_list
from labkit.provision import accounts, pipeline, roles
from labkit.provision.aws import delete_access_keys, delete_user, found, missing_is_fine
from labkit.provision.roles import document

_MANAGE_KEY = [
    "kms:Describe*", "kms:Get*", "kms:List*", "kms:Put*", "kms:TagResource",
    "kms:ScheduleKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias",
]  # fmt: skip


def key_arn(lab: Lab) -> str:
    """The ARN of the key that encrypts the artifacts: a key's policy is read and put by it alone, not by an alias."""
    return str(lab.client("kms").describe_key(KeyId=accounts.key_alias(lab))["KeyMetadata"]["Arn"])


def boundary_arn(lab: Lab) -> str:
    """The managed policy that bounds what CodeBuild's role may be allowed."""
    return f"arn:aws:iam::{lab.account_id}:policy/{lab.name}-boundary"


def releaser_name(lab: Lab) -> str:
    """The user who may update the pipeline."""
    return f"{lab.name}-releaser"


def break_permissions(lab: Lab) -> None:
    """Break a provisioned pipeline's permissions in six places; what was broken before stays as it is."""
    if found(lab.client("iam").get_user, UserName=releaser_name(lab)):
        return
    _start_some_other_pipeline(lab)
    _deny_the_pipeline(lab)
    _trust_some_other_project(lab)
    _encrypt_without_the_build(lab)
    _bound_the_build(lab)
    _pass_no_role(lab)


def releaser(lab: Lab) -> boto3.Session:
    """The user who may update the pipeline, with a new access key in place of an earlier one."""
    iam, name = lab.client("iam"), releaser_name(lab)
    delete_access_keys(lab, name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=lab.region)


def remove(lab: Lab) -> None:
    """Delete what the faults brought along: the user, the boundary and the key (in seven days)."""
    iam = lab.client("iam")
    delete_user(lab, releaser_name(lab))
    with missing_is_fine():
        iam.delete_role_permissions_boundary(RoleName=lab.role("codebuild"))
    with missing_is_fine():
        for version in iam.list_policy_versions(PolicyArn=boundary_arn(lab))["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(
                    PolicyArn=boundary_arn(lab), VersionId=version["VersionId"]
                )
        iam.delete_policy(PolicyArn=boundary_arn(lab))
    accounts.delete_key(lab)


def _start_some_other_pipeline(lab: Lab) -> None:
    other = lab.arn("codepipeline", f"{lab.pipeline}-old")
    _put_role_policy(lab, "events", [roles.allow(["codepipeline:StartPipelineExecution"], other)])


def _deny_the_pipeline(lab: Lab) -> None:
    objects = f"arn:aws:s3:::{lab.bucket}/*"
    everyone: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Resource": objects}
    build = {"aws:PrincipalArn": [lab.role_arn("codebuild")]}
    policy = document(
        {**everyone, "Sid": "OnlyBuildsWrite", "Action": "s3:PutObject",
         "Condition": {"StringNotEquals": build}},
        {**everyone, "Sid": "BuildsDeleteNothing", "Action": "s3:DeleteObject*",
         "Condition": {"StringEquals": build}},
    )  # fmt: skip
    lab.client("s3").put_bucket_policy(Bucket=lab.bucket, Policy=policy)


def _trust_some_other_project(lab: Lab) -> None:
    trust = roles.trust_policy(lab, "codebuild.amazonaws.com")
    other = lab.arn("codebuild", f"project/{lab.project}-old")
    trust["Statement"][0]["Condition"]["ArnEquals"] = {"aws:SourceArn": other}
    lab.client("iam").update_assume_role_policy(
        RoleName=lab.role("codebuild"), PolicyDocument=json.dumps(trust)
    )


def _encrypt_without_the_build(lab: Lab) -> None:
    kms, codepipeline = lab.client("kms"), lab.client("codepipeline")
    account = f"arn:aws:iam::{lab.account_id}:root"
    users = [lab.role_arn("codepipeline"), lab.role_arn("instance")]
    statement = {"Effect": "Allow", "Resource": "*"}
    policy = document(
        {**statement, "Sid": "Manage", "Principal": {"AWS": account}, "Action": _MANAGE_KEY},
        {**statement, "Sid": "Use", "Principal": {"AWS": users}, "Action": accounts.USE_KEY},
    )
    tags = tag_list(lab, "TagKey", "TagValue")
    key = kms.create_key(Policy=policy, Description="Artifacts", Tags=tags)["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=accounts.key_alias(lab), TargetKeyId=key)
    declared = pipeline.declaration(lab)
    declared["artifactStore"]["encryptionKey"] = {"id": key, "type": "KMS"}
    codepipeline.update_pipeline(pipeline=declared)


def _bound_the_build(lab: Lab) -> None:
    iam = lab.client("iam")
    bounds = document(
        roles.allow(["logs:*", "codecommit:GitPull", "codebuild:*", "kms:*"]),
        roles.allow(["s3:Get*", "s3:List*"]),
    )
    iam.create_policy(PolicyName=f"{lab.name}-boundary", PolicyDocument=bounds, Tags=tag_list(lab))
    iam.put_role_permissions_boundary(
        RoleName=lab.role("codebuild"), PermissionsBoundary=boundary_arn(lab)
    )


def _pass_no_role(lab: Lab) -> None:
    iam, name = lab.client("iam"), releaser_name(lab)
    iam.create_user(UserName=name, Tags=tag_list(lab))
    actions = ["codepipeline:GetPipeline", "codepipeline:UpdatePipeline"]
    policy = document(roles.allow(actions, lab.arn("codepipeline", lab.pipeline)))
    iam.put_user_policy(UserName=name, PolicyName=roles.POLICY, PolicyDocument=policy)


def _put_role_policy(lab: Lab, who: str, statements: list[roles.Statement]) -> None:
    lab.client("iam").put_role_policy(
        RoleName=lab.role(who), PolicyName=roles.POLICY, PolicyDocument=document(*statements)
    )
