"""Several accounts: the pipeline lives in one, its releases run in others, and each side has to agree.

`lab` is the account of the tools: repository, pipeline, build and artifacts; it makes the organization
too, so it is its management account here (with a real organization, give the tools an account of their
own). `enter` gives a `Lab` of a member account, with which the other modules make the pieces there.

A release crosses accounts in three places, and both sides have to allow each: the pipeline's role assumes
a role of the target account, which starts the deployment; the hosts read the artifact from the bucket;
and they decrypt it with the key. AWS pages: "Create a pipeline that uses resources from another AWS
account" (CodePipeline); "Accessing a member account that has OrganizationAccountAccessRole"
(Organizations); "Allowing users in other accounts to use a KMS key"; "Service control policies (SCPs)".
"""

from __future__ import annotations

import os
import time
from typing import Any

import boto3

from labkit.lab import Lab, tag_list
from labkit.provision import deploy, pipeline, roles
from labkit.provision.aws import created, found, missing_is_fine
from labkit.provision.roles import Statement, allow, document
from labkit.watched import GaveUp, waiting

ACCOUNTS = ("dev", "staging", "production")
ACCESS_ROLE = "OrganizationAccountAccessRole"
RELEASE = "release"
SHARED = "labkit-shared"  # the policies of roles that reach into the account of the tools
USE_KEY = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]  # fmt: skip
_POLL_SECONDS, _CREATE_SECONDS = 5, 900.0


def create_organization(lab: Lab) -> str:
    """Create the organization, if this account is in none; returns its id (`o-...`)."""
    organizations = lab.client("organizations")
    created(organizations.create_organization, FeatureSet="ALL")
    return str(organizations.describe_organization()["Organization"]["Id"])


def create_account(lab: Lab, name: str, email: str | None = None) -> str:
    """Create a member account, if there is none of that name; returns its twelve digits.

    An account is not made in passing: on AWS it takes minutes, and is closed for 90 days before it is gone.

    Args:
        email: no other account of AWS may have it.

    Raises:
        RuntimeError: AWS could not make it; the message is AWS's reason.
        TimeoutError: AWS is not done in time.
    """
    known = account_of(lab, name)
    if known is not None:
        return known
    organizations = lab.client("organizations")
    status = organizations.create_account(
        AccountName=name, Email=email or f"{name}@example.com", Tags=tag_list(lab)
    )["CreateAccountStatus"]
    begun = time.monotonic()
    with waiting(f"the account {name} to be made", _CREATE_SECONDS):
        while status["State"] == "IN_PROGRESS":
            if time.monotonic() > begun + _CREATE_SECONDS:
                raise GaveUp(
                    f"AWS still makes the account {name} after {_CREATE_SECONDS:.0f} s. Run this cell again "
                    "later: it takes up the account that is there by then."
                )
            time.sleep(_POLL_SECONDS)
            status = organizations.describe_create_account_status(
                CreateAccountRequestId=status["Id"]
            )["CreateAccountStatus"]
    if status["State"] != "SUCCEEDED":
        raise RuntimeError(f"The account {name} was not made: {status['FailureReason']}")
    return str(status["AccountId"])


def account_of(lab: Lab, name: str) -> str | None:
    """The twelve digits of the organization's account of that name; None if there is none."""
    for page in lab.client("organizations").get_paginator("list_accounts").paginate():
        for account in page["Accounts"]:
            if account["Name"] == name and account["Status"] == "ACTIVE":
                return str(account["Id"])
    return None


def enter(lab: Lab, account_id: str) -> Lab:
    """The same names in a member account, as its administrator: what the management account may assume."""
    role = f"arn:aws:iam::{account_id}:role/{ACCESS_ROLE}"
    return Lab(lab.name, lab.target, acts_as=role)


# What the account of the tools shares: a key, and a bucket.


def key_alias(lab: Lab) -> str:
    """What the key of the artifacts is called; an alias is known in its own account alone."""
    return f"alias/{lab.name}-artifacts"


def create_key(lab: Lab, *accounts: str) -> str:
    """Create the key of the artifacts, or bring its policy up to date; returns its ARN.

    Args:
        accounts: those that may use it, by their twelve digits.
    """
    kms, alias = lab.client("kms"), key_alias(lab)
    known = found(kms.describe_key, KeyId=alias)
    if known is None:
        known = kms.create_key(
            Description=f"Artifacts of {lab.pipeline}", Tags=tag_list(lab, "TagKey", "TagValue")
        )
        kms.create_alias(AliasName=alias, TargetKeyId=known["KeyMetadata"]["KeyId"])
    arn = str(known["KeyMetadata"]["Arn"])
    share_key(lab, arn, *accounts)
    return arn


def share_key(lab: Lab, key: str, *accounts: str) -> None:
    """Write the key's policy: this account's own policies decide, and those accounts may use it."""
    own = {
        "Sid": "Administer",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{lab.account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    use = {
        "Sid": "UseOfOtherAccounts",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{one}:root" for one in accounts]},
        "Action": USE_KEY,
        "Resource": "*",
    }
    policy = document(own, *([use] if accounts else []))
    lab.client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=policy)


def share_bucket(lab: Lab, *accounts: str) -> None:
    """Write the artifact bucket's policy: encrypted by KMS or not at all, and read by those accounts."""
    bucket = f"arn:aws:s3:::{lab.bucket}"
    unencrypted = {
        "Sid": "DenyUnencryptedUploads",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"{bucket}/*",
        "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
    }
    read = {
        "Sid": "ReadByOtherAccounts",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{one}:root" for one in accounts]},
        "Action": ["s3:GetObject", "s3:GetObjectVersion"],
        "Resource": f"{bucket}/*",
    }
    policy = document(unencrypted, deny_without_tls(lab), *([read] if accounts else []))
    lab.client("s3").put_bucket_policy(Bucket=lab.bucket, Policy=policy)


def deny_without_tls(lab: Lab) -> Statement:
    """The statement that refuses every request for the artifact bucket that does not come by TLS."""
    bucket = f"arn:aws:s3:::{lab.bucket}"
    return {
        "Sid": "DenyInsecureConnections",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, f"{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def client_without_tls(lab: Lab, service: str) -> Any:
    """A client that speaks http, to see that it is refused.

    The local AWS has no certificate: its address counts as https, and `localhost` in its place as http.
    """
    if lab.is_local:
        http = os.environ["AWS_ENDPOINT_URL"].replace("127.0.0.1", "localhost")
        return boto3.Session().client(service, endpoint_url=http)
    return boto3.Session().client(service, use_ssl=False)


def use_key(lab: Lab, key: str) -> None:
    """Let this account's pipeline and build use the key, and have the build encrypt with it.

    Without `encryptionKey` a build encrypts what it makes with aws/s3, which no other account can use.
    """
    for who in ("codepipeline", "codebuild"):
        _put_shared(lab, who, [allow(USE_KEY, key)])
    lab.client("codebuild").update_project(name=lab.project, encryptionKey=key)


# What the target account lets in.


def create_release_role(target: Lab, tools: Lab, key: str, external_id: str | None = None) -> str:
    """Create the role of the target account that the pipeline assumes to deploy; returns its ARN.

    Args:
        external_id: have the role ask for one. CodePipeline sends none: for people and third parties.
    """
    trust: Statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{tools.account_id}:root"},
        "Action": "sts:AssumeRole",
    }
    if external_id:
        trust["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    may = {"Version": "2012-10-17", "Statement": release(target, tools, key)}
    return roles.put_role(target, RELEASE, {"Version": "2012-10-17", "Statement": [trust]}, may)


def release(target: Lab, tools: Lab, key: str) -> list[Statement]:
    """Starts a deployment in the target account, of an artifact of the tools' bucket."""
    group = target.arn("codedeploy", f"deploymentgroup:{target.application}/{target.fleet}")
    return [
        allow(["codedeploy:CreateDeployment", "codedeploy:GetDeployment"], group),
        allow(
            ["codedeploy:GetApplicationRevision", "codedeploy:RegisterApplicationRevision"],
            target.arn("codedeploy", f"application:{target.application}"),
        ),
        allow(
            ["codedeploy:GetDeploymentConfig"],
            target.arn("codedeploy", "deploymentconfig:CodeDeployDefault.*"),
        ),
        allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{tools.bucket}/*"),
        allow(USE_KEY, key),
    ]


def create_fleet(target: Lab, tools: Lab, key: str, count: int = 1) -> list[str]:
    """Create the target account's hosts and what deploys to them; returns the instances' ids."""
    for who in ("codedeploy", "instance"):
        roles.create_role(target, who)
    roles.create_instance_profile(target)
    read_artifacts(target, tools, key)
    ids = deploy.create_instances(target, count)
    deploy.create_application(target)
    deploy.create_deployment_group(target)
    return ids


def read_artifacts(target: Lab, tools: Lab, key: str | None) -> None:
    """Let the target account's hosts fetch artifacts from the tools' bucket.

    Args:
        key: of the artifacts; None does not let them decrypt what they fetch.
    """
    objects = allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{tools.bucket}/*")
    decrypt = [allow(["kms:Decrypt"], key)] if key else []
    _put_shared(target, "instance", [objects, *decrypt])


# The pipeline that joins them.


def assume_release_role(lab: Lab, key: str, role_arn: str) -> None:
    """Let this account's pipeline assume the target account's role."""
    _put_shared(lab, "codepipeline", [allow(USE_KEY, key), allow(["sts:AssumeRole"], role_arn)])


def declaration(lab: Lab, key: str | None, role_arn: str) -> dict[str, Any]:
    """The pipeline, with the key of its artifacts, and the role that its last action acts as.

    Args:
        key: its ARN (the target account does not know its alias); None leaves them to aws/s3.
    """
    declared = pipeline.declaration(lab)
    if key:
        declared["artifactStore"]["encryptionKey"] = {"id": key, "type": "KMS"}
    [action] = declared["stages"][-1]["actions"]
    action["roleArn"] = role_arn
    return declared


def create_pipeline(lab: Lab, key: str | None, role_arn: str) -> None:
    """Create the pipeline, or bring it up to date; creating one starts its first execution."""
    codepipeline, wanted = lab.client("codepipeline"), declaration(lab, key, role_arn)
    tags = tag_list(lab, "key", "value")
    if created(codepipeline.create_pipeline, pipeline=wanted, tags=tags) is None:
        codepipeline.update_pipeline(pipeline=wanted)


# Guardrails.


def create_guardrail(lab: Lab, name: str, account_id: str, *statements: Statement) -> str:
    """Attach a service control policy to an account; returns the policy's id.

    It caps what everybody in the account may do, administrators too, and gives nobody anything.
    """
    organizations, content = lab.client("organizations"), document(*statements)
    known = _guardrails(lab).get(name)
    if known is None:
        known = organizations.create_policy(
            Name=name, Description=name, Type="SERVICE_CONTROL_POLICY", Content=content
        )["Policy"]["PolicySummary"]["Id"]
    else:
        organizations.update_policy(PolicyId=known, Content=content)
    created(organizations.attach_policy, PolicyId=known, TargetId=account_id)
    return str(known)


def delete_guardrail(lab: Lab, name: str) -> None:
    """Detach a service control policy from wherever it is attached, and delete it."""
    organizations, known = lab.client("organizations"), _guardrails(lab).get(name)
    if known is None:
        return
    for target in organizations.list_targets_for_policy(PolicyId=known)["Targets"]:
        organizations.detach_policy(PolicyId=known, TargetId=target["TargetId"])
    organizations.delete_policy(PolicyId=known)


def _guardrails(lab: Lab) -> dict[str, str]:
    listed = lab.client("organizations").list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
    return {one["Name"]: one["Id"] for one in listed}


# Clearing away; the accounts and the organization stay.


def delete_target(target: Lab) -> None:
    """Delete the target account's hosts, application and roles."""
    deploy.delete_deployments(target)
    roles.delete_roles(target)
    with missing_is_fine():
        roles.delete_role(target, RELEASE)


def clear_away(lab: Lab) -> None:
    """Delete what this module made for `lab` in the accounts of the organization, if there is one."""
    if found(lab.client("organizations").describe_organization) is None:
        return
    for name in ACCOUNTS:
        account_id = account_of(lab, name)
        if account_id is not None:
            delete_guardrail(lab, f"{lab.name}-{name}")
            delete_target(enter(lab, account_id))
    delete_key(lab)


def delete_key(lab: Lab) -> None:
    """Delete the key's alias, and the key in seven days: AWS deletes none at once."""
    kms, alias = lab.client("kms"), key_alias(lab)
    known = found(kms.describe_key, KeyId=alias)
    if known is not None:
        kms.delete_alias(AliasName=alias)
        kms.schedule_key_deletion(KeyId=known["KeyMetadata"]["KeyId"], PendingWindowInDays=7)


def _put_shared(lab: Lab, who: str, statements: list[Statement]) -> None:
    lab.client("iam").put_role_policy(
        RoleName=lab.role(who), PolicyName=SHARED, PolicyDocument=document(*statements)
    )
