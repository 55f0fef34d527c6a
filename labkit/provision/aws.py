"""What the pieces share: what is there already is fine, what is gone already is fine; the default VPC.

AWS has no "create or update": a lesson that is run twice calls create again and hears that the
thing exists. `created` and `missing_is_fine` turn AWS's answer into a plain yes or no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from labkit.lab import Lab

_EXISTS = {
    "RepositoryNameExistsException",
    "RepositoryAlreadyExistsException",
    "EntityAlreadyExists",
    "BucketAlreadyOwnedByYou",
    "ResourceAlreadyExistsException",
    "ApplicationAlreadyExistsException",
    "DeploymentConfigAlreadyExistsException",
    "DeploymentGroupAlreadyExistsException",
    "PipelineNameInUseException",
    "TrailAlreadyExistsException",
    "InvalidGroup.Duplicate",
    "InvalidPermission.Duplicate",
    "AlreadyInOrganizationException",
    "DuplicatePolicyAttachmentException",
}
_MISSING = {
    "RepositoryDoesNotExistException",
    "BranchDoesNotExistException",
    "NoSuchEntity",
    "NoSuchBucket",
    "NotFoundException",
    "ResourceNotFoundException",
    "ApplicationDoesNotExistException",
    "DeploymentGroupDoesNotExistException",
    "PipelineNotFoundException",
    "TrailNotFoundException",
    "DeploymentAlreadyCompletedException",
    "InvalidGroup.NotFound",
    "LoadBalancerNotFound",
    "RepositoryNotFoundException",
    "ClusterNotFoundException",
    "ServiceNotFoundException",
    "AWSOrganizationsNotInUseException",
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "404",
    "UnknownOperationException",  # the local AWS does not have this kind of thing at all
}


def created(create: Callable[..., Any], **parameters: Any) -> dict[str, Any] | None:
    """Call a create operation; None when the thing was there already.

    Raises:
        botocore.exceptions.ClientError: any other answer than "it exists".
    """
    try:
        answer: dict[str, Any] | None = create(**parameters)
        return answer
    except ClientError as error:
        if error.response["Error"]["Code"] in _EXISTS:
            return None
        raise


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Ends quietly when AWS says that the thing is not there."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MISSING:
            raise


def found(read: Callable[..., Any], **parameters: Any) -> dict[str, Any] | None:
    """Call a read operation; None when the thing is not there."""
    with missing_is_fine():
        answer: dict[str, Any] | None = read(**parameters)
        return answer
    return None


def create_bucket(lab: Lab, bucket: str) -> None:
    """Create a bucket in the lab's Region, if it is not there."""
    place = {"CreateBucketConfiguration": {"LocationConstraint": lab.region}}
    elsewhere = {} if lab.region == "us-east-1" else place
    created(lab.client("s3").create_bucket, Bucket=bucket, **elsewhere)


def delete_access_keys(lab: Lab, user: str) -> None:
    """Delete the access keys of a user."""
    iam = lab.client("iam")
    for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])


def delete_user(lab: Lab, user: str) -> None:
    """Delete a user, if there is one: AWS deletes only one without keys and policies.

    AWS page: "DeleteUser" in the IAM API Reference.
    """
    iam = lab.client("iam")
    with missing_is_fine():
        delete_access_keys(lab, user)
        for name in iam.list_user_policies(UserName=user)["PolicyNames"]:
            iam.delete_user_policy(UserName=user, PolicyName=name)
        for policy in iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]:
            iam.detach_user_policy(UserName=user, PolicyArn=policy["PolicyArn"])
        iam.delete_user(UserName=user)


def default_vpc(lab: Lab) -> str:
    """The id of the account's default VPC."""
    default: Any = [{"Name": "is-default", "Values": ["true"]}]
    return str(lab.client("ec2").describe_vpcs(Filters=default)["Vpcs"][0]["VpcId"])


def default_subnets(lab: Lab) -> list[str]:
    """The ids of the default VPC's subnets, one for each Availability Zone."""
    default: Any = [{"Name": "default-for-az", "Values": ["true"]}]
    subnets = lab.client("ec2").describe_subnets(Filters=default)["Subnets"]
    return [subnet["SubnetId"] for subnet in subnets]
