"""What was granted and what of it was asked for, as IAM's access advisor tells it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from tests.conftest import Aws
from tests.iam.identities import allow, role, session, user
from tests.roles import document


def report(aws: Aws, arn: str, granularity: str = "SERVICE_LEVEL") -> dict[str, dict[str, Any]]:
    """The services of a new report, by their namespaces, in pages of three."""
    iam = aws.client("iam")
    job = iam.generate_service_last_accessed_details(Arn=arn, Granularity=granularity)["JobId"]
    found, more = {}, {}
    while True:
        page = iam.get_service_last_accessed_details(JobId=job, MaxItems=3, **more)
        assert page["JobStatus"] == "COMPLETED"
        found |= {one["ServiceNamespace"]: one for one in page["ServicesLastAccessed"]}
        if not page["IsTruncated"]:
            return found
        more = {"Marker": page["Marker"]}


def test_a_role_s_sessions_use_what_the_role_was_granted(aws: Aws) -> None:
    arn = role(aws, allow(["sns:*", "logs:Describe*", "s3:GetObject", "sqs:*", "kms:ListKeys"]))
    one = session(aws, arn)
    one.client("sns").list_topics()
    one.client("kms").list_keys()
    found = report(aws, arn, "ACTION_LEVEL")
    assert sorted(found) == ["kms", "logs", "s3", "sns", "sqs"]
    used = {name for name, service in found.items() if "LastAuthenticated" in service}
    assert used == {"sns", "kms"}
    assert found["sns"]["LastAuthenticatedEntity"] == arn
    assert found["sns"]["LastAuthenticatedRegion"] == "us-east-1"
    actions = {
        name: {one["ActionName"]: one.get("LastAccessedTime") for one in service["TrackedActionsLastAccessed"]}
        for name, service in found.items()
    }  # fmt: skip
    assert actions["sns"]["ListTopics"] == found["sns"]["LastAuthenticated"]
    assert actions["sns"]["CreateTopic"] is None
    assert list(actions["kms"]) == ["ListKeys"]
    assert actions["s3"] == {}  # a data event


def test_an_attempt_counts_that_was_refused(aws: Aws) -> None:
    ann = user(aws, allow("sns:CreateTopic"))
    with suppress(ClientError):
        ann.client("sns").list_topics()
    assert report(aws, ann.arn)["sns"]["LastAuthenticatedEntity"] == ann.arn


def test_of_a_policy_and_a_group_all_count_who_have_it(aws: Aws) -> None:
    iam, ann, bob = aws.client("iam"), user(aws), user(aws)
    group = f"g-{ann.name}"
    policy = iam.create_policy(PolicyName=group, PolicyDocument=document(allow("sns:*")))["Policy"]
    iam.create_group(GroupName=group)
    iam.attach_group_policy(GroupName=group, PolicyArn=policy["Arn"])
    for one in (ann, bob):
        iam.add_user_to_group(GroupName=group, UserName=one.name)
    bob.client("sns").list_topics()
    arn = iam.get_group(GroupName=group)["Group"]["Arn"]
    for subject in (policy["Arn"], arn):
        found = report(aws, subject)["sns"]
        assert (found["TotalAuthenticatedEntities"], found["LastAuthenticatedEntity"]) == (1, bob.arn)  # fmt: skip
    job = iam.generate_service_last_accessed_details(Arn=policy["Arn"])["JobId"]
    told = iam.get_service_last_accessed_details_with_entities(JobId=job, ServiceNamespace="sns")
    entities = {one["EntityInfo"]["Name"]: one.get("LastAuthenticated") for one in told["EntityDetailsList"]}  # fmt: skip
    assert entities.keys() == {ann.name, bob.name}
    assert entities[ann.name] is None and entities[bob.name] is not None


def test_an_administrator_was_granted_every_service(aws: Aws) -> None:
    iam = aws.client("iam")
    arn = "arn:aws:iam::123456789012:user/learner"
    job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]
    first = iam.get_service_last_accessed_details(JobId=job, MaxItems=1000)["ServicesLastAccessed"]
    used = [one["ServiceNamespace"] for one in first if "LastAuthenticated" in one]
    assert len(first) > 400
    assert "iam" in used
    assert "dynamodb" not in used
