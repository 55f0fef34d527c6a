"""Six faults in the permissions of a pipeline: each is a classic, five hide behind another.

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
from collections.abc import Mapping
from typing import Any

import boto3

from labkit.lab import Lab, tag_list
from labkit.provision import accounts, pipeline, roles
from labkit.provision.aws import created, delete_access_keys, found
from labkit.teach.exercises.model import taken

Document = dict[str, Any]
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


def releaser(lab: Lab) -> boto3.Session:
    """The user who may update the pipeline, with a new access key in place of an earlier one."""
    iam, name = lab.client("iam"), releaser_name(lab)
    delete_access_keys(lab, name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=lab.region)


def faulty(lab: Lab, old: str) -> dict[str, Document]:
    """The six policies as they are after the weekend, by the part of the answer.

    Args:
        old: how what is no longer there was called, as in "hello-pipeline-old".
    """
    objects = f"arn:aws:s3:::{lab.bucket}/*"
    everyone = {"Effect": "Deny", "Principal": "*", "Resource": objects}
    build = {"aws:PrincipalArn": [lab.role_arn("codebuild")]}
    trust = roles.trust_policy(lab, "codebuild.amazonaws.com")
    project = lab.arn("codebuild", f"project/{lab.project}-{old}")
    trust["Statement"][0]["Condition"]["ArnEquals"] = {"aws:SourceArn": project}
    account = f"arn:aws:iam::{lab.account_id}:root"
    users = [lab.role_arn("codepipeline"), lab.role_arn("instance")]
    own = {"Effect": "Allow", "Resource": "*"}
    return {
        "events": _policy(
            roles.allow(
                ["codepipeline:StartPipelineExecution"],
                lab.arn("codepipeline", f"{lab.pipeline}-{old}"),
            )
        ),
        "bucket": _policy(
            {**everyone, "Sid": "OnlyBuildsWrite", "Action": "s3:PutObject",
             "Condition": {"StringNotEquals": build}},
            {**everyone, "Sid": "BuildsDeleteNothing", "Action": "s3:DeleteObject*",
             "Condition": {"StringEquals": build}},
        ),
        "trust": trust,
        "key": _policy(
            {**own, "Sid": "Manage", "Principal": {"AWS": account}, "Action": _MANAGE_KEY},
            {**own, "Sid": "Use", "Principal": {"AWS": users}, "Action": accounts.USE_KEY},
        ),
        "boundary": _policy(
            roles.allow(["logs:*", "codecommit:GitPull", "codebuild:*", "kms:*"]),
            roles.allow(["s3:Get*", "s3:List*"]),
        ),
        "releaser": _policy(
            roles.allow(
                ["codepipeline:GetPipeline", "codepipeline:UpdatePipeline"],
                lab.arn("codepipeline", lab.pipeline),
            )
        ),
    }  # fmt: skip


def make(lab: Lab, policies: Mapping[str, Document]) -> None:
    """Make the key, the boundary and the user, encrypt the artifacts, and put all six policies."""
    iam, codepipeline = lab.client("iam"), lab.client("codepipeline")
    if found(lab.client("kms").describe_key, KeyId=accounts.key_alias(lab)) is None:
        accounts.create_key(lab)
    bounds = {"PolicyName": f"{lab.name}-boundary", "Tags": tag_list(lab)}
    created(iam.create_policy, PolicyDocument=json.dumps(policies["boundary"]), **bounds)
    iam.put_role_permissions_boundary(
        RoleName=lab.role("codebuild"), PermissionsBoundary=boundary_arn(lab)
    )
    created(iam.create_user, UserName=releaser_name(lab), Tags=tag_list(lab))
    declared = pipeline.declaration(lab)
    declared["artifactStore"]["encryptionKey"] = {"id": key_arn(lab), "type": "KMS"}
    codepipeline.update_pipeline(pipeline=declared)
    put(lab, policies)


def put(lab: Lab, policies: Mapping[str, Document]) -> None:
    """Put the six policies where they belong.

    Raises:
        NotTakenError: AWS takes one of them for none.
    """
    iam, text = lab.client("iam"), {name: json.dumps(one) for name, one in policies.items()}
    with taken("events"):
        iam.put_role_policy(
            RoleName=lab.role("events"), PolicyName=roles.POLICY, PolicyDocument=text["events"]
        )
    with taken("bucket"):
        lab.client("s3").put_bucket_policy(Bucket=lab.bucket, Policy=text["bucket"])
    with taken("trust"):
        iam.update_assume_role_policy(RoleName=lab.role("codebuild"), PolicyDocument=text["trust"])
    with taken("key"):
        lab.client("kms").put_key_policy(
            KeyId=key_arn(lab), PolicyName="default", Policy=text["key"]
        )
    with taken("boundary"):
        _put_boundary(lab, text["boundary"])
    with taken("releaser"):
        iam.put_user_policy(
            UserName=releaser_name(lab), PolicyName=roles.POLICY, PolicyDocument=text["releaser"]
        )


def _put_boundary(lab: Lab, text: str) -> None:
    """A new version is the default; AWS keeps five at most, so the others go first."""
    iam, arn = lab.client("iam"), boundary_arn(lab)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)


def _policy(*statements: roles.Statement) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}
