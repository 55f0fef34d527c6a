"""The event history: who did what, by each attribute, between two times, page by page; and no secret in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import jmespath
import pytest
from botocore.exceptions import ClientError

from tests import organizations, tables
from tests.conftest import Aws
from tests.iam.identities import allow, role, session, user
from tests.waiting import eventually

MASKED = tables.read(Path(__file__).with_name("masked.yaml"))
SECRET = "s3cr3t-of-the-test"


def unique() -> str:
    return f"t-{uuid4().hex[:10]}"


def events(aws: Aws, key: str, value: str, **how: Any) -> list[dict[str, Any]]:
    attributes = [{"AttributeKey": key, "AttributeValue": value}]
    answer = aws.client("cloudtrail").lookup_events(LookupAttributes=attributes, **how)
    return answer["Events"]


def record(event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event["CloudTrailEvent"])
    return found


@pytest.fixture(scope="module")
def acted(aws: Aws) -> Iterator[dict[str, Any]]:
    """A user makes a topic, and is refused a queue."""
    who, name = user(aws, allow("sns:CreateTopic")), unique()
    who.client("sns").create_topic(Name=name)
    with pytest.raises(ClientError):
        who.client("sqs").create_queue(QueueName=name)
    yield {"who": who, "name": name, "key": who.keys["aws_access_key_id"]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Username", lambda done: done["who"].name),
        ("AccessKeyId", lambda done: done["key"]),
        ("ResourceName", lambda done: done["name"]),
    ],
    ids=["Username", "AccessKeyId", "ResourceName"],
)
def test_what_somebody_did_is_found(aws: Aws, acted: dict[str, Any], key: str, value: Any) -> None:
    found = events(aws, key, value(acted))
    assert [one["EventName"] for one in found] == ["CreateQueue", "CreateTopic"]
    assert {one["Username"] for one in found} == {acted["who"].name}


@pytest.mark.parametrize(
    ("key", "of"),
    [("EventName", "EventName"), ("EventSource", "EventSource"), ("EventId", "EventId")],
)
def test_an_event_is_found_by_what_it_is(
    aws: Aws, acted: dict[str, Any], key: str, of: str
) -> None:
    [_, made] = events(aws, "Username", acted["who"].name)
    assert made["EventId"] in [one["EventId"] for one in events(aws, key, made[of])]


def test_events_are_found_by_the_type_of_their_resources(aws: Aws, acted: dict[str, Any]) -> None:
    found = events(aws, "ResourceType", "AWS::SNS::Topic")
    named = [one["ResourceName"] for event in found for one in event["Resources"]]
    assert acted["name"] in named
    assert {one["ResourceType"] for event in found for one in event["Resources"]} == {
        "AWS::SNS::Topic"
    }


@pytest.mark.parametrize("reads", ["true", "false"])
def test_events_that_read_are_told_from_those_that_write(aws: Aws, reads: str) -> None:
    aws.client("sns").list_topics()
    aws.client("sns").create_topic(Name=unique())
    found = events(aws, "ReadOnly", reads, MaxResults=20)
    assert {one["ReadOnly"] for one in found} == {reads}
    assert {record(one)["readOnly"] for one in found} == {reads == "true"}


def test_a_refusal_says_why(aws: Aws, acted: dict[str, Any]) -> None:
    refused = record(events(aws, "Username", acted["who"].name)[0])
    assert refused["errorCode"].startswith("AccessDenied")
    assert "not authorized to perform: sqs:createqueue" in refused["errorMessage"].lower()
    assert refused["responseElements"] is None


def test_what_a_service_refuses_says_why(aws: Aws) -> None:
    name = unique()
    with pytest.raises(ClientError):
        aws.client("codepipeline").start_pipeline_execution(name=name)
    [found] = events(aws, "ResourceName", name)
    assert record(found)["errorCode"] == "PipelineNotFoundException"
    assert name in record(found)["errorMessage"]


def test_a_record_is_as_the_user_guide_has_it(aws: Aws, acted: dict[str, Any]) -> None:
    who = acted["who"]
    made = record(events(aws, "Username", who.name)[1])
    known = aws.client("iam").get_user(UserName=who.name)["User"]
    assert made["userIdentity"] == {
        "type": "IAMUser",
        "principalId": known["UserId"],
        "arn": who.arn,
        "accountId": "123456789012",
        "accessKeyId": acted["key"],
        "userName": who.name,
    }
    assert made["eventSource"] == "sns.amazonaws.com"
    assert made["requestParameters"] == {"name": acted["name"]}
    assert made["responseElements"]["topicArn"].endswith(acted["name"])
    expected = {
        "eventType": "AwsApiCall",
        "eventCategory": "Management",
        "managementEvent": True,
        "recipientAccountId": "123456789012",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
    }
    assert made.items() >= expected.items()
    assert made["userAgent"].startswith("Boto3/")


def test_a_session_says_whose_role_it_is_and_who_assumed_it(aws: Aws) -> None:
    who, name = user(aws, allow("sts:AssumeRole")), unique()
    arn = role(aws, allow("sns:ListTopics"))
    keys = who.client("sts").assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
    boto3.client(
        "sns",
        "us-east-1",
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    ).list_topics()
    [did] = events(aws, "Username", name)
    issuer = record(did)["userIdentity"]["sessionContext"]["sessionIssuer"]
    assert (issuer["type"], issuer["arn"]) == ("Role", arn)
    [assumed] = [
        one
        for one in events(aws, "Username", who.name)
        if record(one)["responseElements"]["credentials"]["accessKeyId"] == keys["AccessKeyId"]
    ]
    assert assumed["EventName"] == "AssumeRole"
    assert arn in [one["ARN"] for one in record(assumed)["resources"]]
    assert keys["SecretAccessKey"] not in assumed["CloudTrailEvent"]


def test_both_accounts_hear_of_a_role_that_is_assumed_across_them(aws: Aws) -> None:
    member = organizations.account(aws)
    arn = f"arn:aws:iam::{member}:role/{organizations.ROLE}"
    entered = session(aws, arn)
    [ours] = events(aws, "ResourceName", arn)
    who = {"LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": arn}]}
    [theirs] = entered.client("cloudtrail").lookup_events(**who)["Events"]
    assert record(ours)["sharedEventID"] == record(theirs)["sharedEventID"]
    assert record(ours)["userIdentity"]["userName"] == "learner"
    assert record(theirs)["userIdentity"] == {
        "type": "AWSAccount",
        "principalId": record(ours)["userIdentity"]["principalId"],
        "accountId": "123456789012",
    }
    assert record(theirs)["recipientAccountId"] == member


def test_a_service_is_named_for_what_it_does_itself(aws: Aws) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    arn = role(aws, allow("codebuild:StartBuild"), trust=trust)
    name, bus = unique(), aws.client("events")
    pattern = json.dumps({"source": [name]})
    bus.put_rule(Name=name, EventPattern=pattern)
    target = f"arn:aws:codebuild:us-east-1:123456789012:project/{name}"
    bus.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": target, "RoleArn": arn}])
    bus.put_events(Entries=[{"Source": name, "DetailType": "x", "Detail": "{}"}])
    found = eventually(
        lambda: [
            one for one in events(aws, "ResourceName", name) if one["EventName"] == "StartBuild"
        ]
    )
    did = record(found[0])
    assert did["userIdentity"]["invokedBy"] == did["sourceIPAddress"] == did["userAgent"]
    assert did["userAgent"] == "events.amazonaws.com"
    assert did["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == arn
    [assumed] = events(aws, "ResourceName", arn.rpartition("/")[2])[:1]
    assert record(assumed)["userIdentity"] == {
        "type": "AWSService",
        "invokedBy": "events.amazonaws.com",
    }
    bus.remove_targets(Rule=name, Ids=["1"])
    bus.delete_rule(Name=name)


@pytest.mark.parametrize("case", MASKED, ids=lambda case: case["call"])
def test_no_secret_is_in_the_history(aws: Aws, case: dict[str, Any]) -> None:
    service, operation = case["call"].split(".")
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "codebuild.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    text = json.dumps(case["given"]).replace("SECRET", SECRET).replace("UNIQUE", unique())
    if "ROLE" in text:
        text = text.replace("ROLE", role(aws, trust=trusted))
    call = getattr(aws.client(service), operation)
    if "refused" in case:
        with pytest.raises(ClientError) as refused:
            call(**json.loads(text))
        assert refused.value.response["Error"]["Code"] == case["refused"]
    else:
        call(**json.loads(text))
    name = "".join(part.title() for part in operation.split("_"))
    newest = events(aws, "EventName", name)[0]
    assert SECRET not in newest["CloudTrailEvent"]
    for path, value in case["shown"].items():
        assert jmespath.search(path, record(newest)) == value, path


def test_an_access_key_is_there_without_its_secret(aws: Aws) -> None:
    name = user(aws).name
    secret = aws.client("iam").create_access_key(UserName=name)["AccessKey"]["SecretAccessKey"]
    newest = events(aws, "ResourceName", name)[0]
    assert newest["EventName"] == "CreateAccessKey"
    assert secret not in newest["CloudTrailEvent"]
    assert record(newest)["responseElements"]["accessKey"]["accessKeyId"].startswith("AKIA")


def test_data_events_are_not_in_the_history(aws: Aws) -> None:
    name, s3 = unique(), aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a", Body=b"")
    s3.list_objects_v2(Bucket=name)
    assert [one["EventName"] for one in events(aws, "ResourceName", name)] == ["CreateBucket"]


def test_pages_follow_one_another(aws: Aws) -> None:
    who = user(aws, allow("sns:*"))
    for _ in range(5):
        who.client("sns").list_topics()
    attributes = [{"AttributeKey": "Username", "AttributeValue": who.name}]
    pages = aws.client("cloudtrail").get_paginator("lookup_events")
    found = list(pages.paginate(LookupAttributes=attributes, PaginationConfig={"PageSize": 2}))
    assert [len(one["Events"]) for one in found] == [2, 2, 1]
    ids = [event["EventId"] for one in found for event in one["Events"]]
    assert len(set(ids)) == 5


def test_only_what_happened_between_two_times(aws: Aws, acted: dict[str, Any]) -> None:
    [_, made] = events(aws, "Username", acted["who"].name)
    at, second = made["EventTime"], timedelta(seconds=1)
    inside = events(aws, "EventId", made["EventId"], StartTime=at, EndTime=at)
    assert [one["EventId"] for one in inside] == [made["EventId"]]
    assert events(aws, "EventId", made["EventId"], EndTime=at - second) == []
    assert events(aws, "EventId", made["EventId"], StartTime=at + second) == []


NOW = datetime.now(UTC)
ONE = {"AttributeKey": "EventName", "AttributeValue": "CreateTopic"}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"LookupAttributes": [ONE, ONE]}, "InvalidLookupAttributesException"),
        ({"StartTime": NOW, "EndTime": NOW - timedelta(1)}, "InvalidTimeRangeException"),
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"MaxResults": 0}, "InvalidMaxResultsException"),
        ({"NextToken": "none"}, "InvalidNextTokenException"),
        ({"EventCategory": "insight"}, "InvalidEventCategoryException"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_what_cannot_be_looked_up(aws: Aws, given: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        aws.unchecked("cloudtrail").lookup_events(**given)
    assert refused.value.response["Error"]["Code"] == code


def test_a_token_is_good_for_its_own_lookup_alone(aws: Aws) -> None:
    for _ in range(2):
        aws.client("sns").list_topics()
    cloudtrail = aws.client("cloudtrail")
    token = cloudtrail.lookup_events(MaxResults=1)["NextToken"]
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        cloudtrail.lookup_events(LookupAttributes=[ONE], NextToken=token)


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("put_insight_selectors", {"TrailName": "a", "InsightSelectors": []}),
        ("create_event_data_store", {"Name": "abc"}),
        ("start_query", {"QueryStatement": "SELECT 1"}),
        ("create_channel", {"Name": "abc", "Source": "Custom", "Destinations": []}),
    ],
)
def test_insights_and_lake_are_refused_by_name(aws: Aws, operation: str, given: Any) -> None:
    with pytest.raises(
        ClientError, match=r"UnknownOperationException.*does not support cloudtrail"
    ):
        getattr(aws.unchecked("cloudtrail"), operation)(**given)


def test_what_is_of_this_very_second_is_not_before_it(aws: Aws) -> None:
    begun = datetime.now(UTC)
    who = user(aws, allow("sns:ListTopics"))
    who.client("sns").list_topics()
    assert len(events(aws, "Username", who.name, StartTime=begun)) == 1
