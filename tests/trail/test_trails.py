"""Trails: what is delivered, where, as whom; and what `aws cloudtrail validate-logs` makes of it."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.conftest import Aws, own_lab
from tests.roles import create_role, document
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ACCOUNT = "123456789012"
SERVICE = {"Service": "cloudtrail.amazonaws.com"}


def unique() -> str:
    return f"t-{uuid4().hex[:10]}"


def bucket_policy(bucket: str, trail: str, prefix: str = "") -> list[dict[str, Any]]:
    """AWS page: "Amazon S3 bucket policy for CloudTrail"."""
    of_trail = {"aws:SourceArn": f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/{trail}"}
    full_control = {"s3:x-amz-acl": "bucket-owner-full-control"}
    where = f"arn:aws:s3:::{bucket}"
    return [
        {
            "Effect": "Allow", "Principal": SERVICE, "Action": "s3:GetBucketAcl", "Resource": where,
            "Condition": {"StringEquals": of_trail},
        },
        {
            "Effect": "Allow", "Principal": SERVICE, "Action": "s3:PutObject",
            "Resource": f"{where}/{prefix}AWSLogs/{ACCOUNT}/*",
            "Condition": {"StringEquals": {**of_trail, **full_control}},
        },
    ]  # fmt: skip


@pytest.fixture(scope="module")
def bucket(aws: Aws) -> str:
    name = unique()
    aws.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def make(aws: Aws, bucket: str) -> Iterator[Callable[..., str]]:
    """Makes a trail that logs into the bucket, whose policy lets it; deleted afterwards."""
    made, cloudtrail = [], aws.client("cloudtrail")

    def make(prefix: str = "", selectors: Any = None, **how: Any) -> str:
        name = unique()
        policy = document(bucket_policy(bucket, name, f"{prefix}/" if prefix else ""))
        aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
        where = {"S3KeyPrefix": prefix} if prefix else {}
        cloudtrail.create_trail(Name=name, S3BucketName=bucket, **where, **how)
        made.append(name)
        if selectors:
            cloudtrail.put_event_selectors(TrailName=name, **selectors)
        cloudtrail.start_logging(Name=name)
        return name

    yield make
    for name in made:
        cloudtrail.delete_trail(Name=name)


def delivered(aws: Aws, bucket: str, prefix: str) -> list[dict[str, Any]]:
    """The records of all log files below a prefix."""
    s3, found = aws.client("s3"), []
    below = f"{prefix}/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/"
    for one in s3.list_objects_v2(Bucket=bucket, Prefix=below).get("Contents", []):
        body = s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        found += json.loads(gzip.decompress(body))["Records"]
    return found


def stopped(aws: Aws, bucket: str, prefix: str, trail: str) -> list[dict[str, Any]]:
    """Stop a trail, and read all that it delivered."""
    aws.client("cloudtrail").stop_logging(Name=trail)
    return eventually(
        lambda: delivered(aws, bucket, prefix),
        enough=lambda found: any(
            one["eventName"] == "StopLogging" and one["requestParameters"]["name"] == trail
            for one in found
        ),
    )


def test_a_trail_delivers_from_its_start_to_its_end(aws: Aws, bucket: str, make: Any) -> None:
    topic, prefix = unique(), unique()
    aws.client("sns").create_topic(Name=f"{topic}-before")
    trail = make(prefix)
    aws.client("sns").create_topic(Name=topic)
    aws.client("s3").put_object(Bucket=bucket, Key="of nobody", Body=b"")
    found = stopped(aws, bucket, prefix, trail)
    topics = [
        one["requestParameters"]["name"] for one in found if one["eventName"] == "CreateTopic"
    ]
    assert topic in topics and f"{topic}-before" not in topics
    assert {one["eventName"] for one in found} >= {"StartLogging", "StopLogging"}
    assert all(one["managementEvent"] for one in found)


def test_files_lie_where_the_user_guide_says(aws: Aws, bucket: str, make: Any) -> None:
    prefix = unique()
    trail = make(prefix)
    stopped(aws, bucket, prefix, trail)
    listed = aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/AWSLogs/")
    [*_, key] = [one["Key"] for one in listed["Contents"]]
    *_, account, kind, region, year, month, day, name = key.split("/")
    assert (account, kind, region) == (ACCOUNT, "CloudTrail", "us-east-1")
    head, stamp, unique_part = name.removesuffix(".json.gz").rsplit("_", 2)
    assert head == f"{ACCOUNT}_CloudTrail_us-east-1"
    assert stamp.startswith(f"{year}{month}{day}T") and len(unique_part) == 16


def test_it_goes_on_delivering_while_it_logs(aws: Aws, bucket: str, make: Any) -> None:
    topic, prefix = unique(), unique()
    trail = make(prefix)
    aws.client("sns").create_topic(Name=topic)
    eventually(lambda: topic in json.dumps(delivered(aws, bucket, prefix)))
    status = aws.client("cloudtrail").get_trail_status(Name=trail)
    assert status["IsLogging"] and status["LatestDeliveryTime"] >= status["StartLoggingTime"]


@pytest.mark.parametrize(
    ("selectors", "events"),
    [
        ({"ReadWriteType": "WriteOnly", "IncludeManagementEvents": False}, {"PutObject"}),
        (
            {"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False},
            {"GetObject", "ListObjects"},
        ),
        (
            {"ReadWriteType": "All", "IncludeManagementEvents": False},
            {"PutObject", "GetObject", "ListObjects"},
        ),
    ],
    ids=["WriteOnly", "ReadOnly", "All"],
)
def test_data_events_are_delivered_when_they_are_selected(
    aws: Aws, bucket: str, make: Any, selectors: Any, events: set[str]
) -> None:
    s3, prefix, mine = aws.client("s3"), unique(), unique()
    s3.create_bucket(Bucket=mine)
    resources = [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{mine}/"]}]
    trail = make(prefix, {"EventSelectors": [{**selectors, "DataResources": resources}]})
    s3.put_object(Bucket=mine, Key="a", Body=b"")
    s3.get_object(Bucket=mine, Key="a")
    s3.list_objects_v2(Bucket=mine)
    s3.put_object(Bucket=bucket, Key="of nobody", Body=b"")
    aws.client("cloudtrail").stop_logging(Name=trail)
    found = eventually(
        lambda: delivered(aws, bucket, prefix), enough=lambda found: len(found) >= len(events)
    )
    assert {one["eventName"] for one in found} >= events - {"ListObjects"}
    assert {one["eventName"] for one in found} <= events
    assert {one["requestParameters"]["bucketName"] for one in found} == {mine}


def test_advanced_selectors_choose_by_fields(aws: Aws, bucket: str, make: Any) -> None:
    prefix, topic = unique(), unique()
    fields = [
        {"Field": "eventCategory", "Equals": ["Management"]},
        {"Field": "eventSource", "Equals": ["sns.amazonaws.com", "cloudtrail.amazonaws.com"]},
        {"Field": "readOnly", "Equals": ["false"]},
        {"Field": "eventName", "NotStartsWith": ["Delete"]},
    ]
    trail = make(prefix, {"AdvancedEventSelectors": [{"Name": "x", "FieldSelectors": fields}]})
    sns = aws.client("sns")
    arn = sns.create_topic(Name=topic)["TopicArn"]
    sns.list_topics(), sns.delete_topic(TopicArn=arn)
    names = [one["eventName"] for one in stopped(aws, bucket, prefix, trail)]
    assert "CreateTopic" in names
    assert not {"ListTopics", "DeleteTopic"} & set(names)


@pytest.fixture(scope="module")
def log_group(aws: Aws) -> str:
    name = f"/trail/{unique()}"
    aws.client("logs").create_log_group(logGroupName=name)
    return name


def group_arn(name: str) -> str:
    return f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}:*"


def test_events_go_to_the_log_group_as_the_role(
    aws: Aws, bucket: str, make: Any, log_group: str
) -> None:
    may = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": group_arn(log_group),
    }
    role = create_role(aws, unique(), "cloudtrail.amazonaws.com", policy=may)
    where = {"CloudWatchLogsLogGroupArn": group_arn(log_group), "CloudWatchLogsRoleArn": role}
    prefix, topic = unique(), unique()
    trail = make(prefix, **where)
    aws.client("sns").create_topic(Name=topic)
    stopped(aws, bucket, prefix, trail)
    where = {
        "logGroupName": log_group,
        "logStreamName": f"{ACCOUNT}_CloudTrail_us-east-1",
    }
    found = eventually(
        lambda: aws.client("logs").get_log_events(**where, startFromHead=True)["events"],
        enough=lambda found: any(topic in one["message"] for one in found),
    )
    assert json.loads(found[0]["message"])["eventVersion"]


def test_a_role_that_may_not_write_logs_is_refused(aws: Aws, bucket: str, log_group: str) -> None:
    name = unique()
    may = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}
    role = create_role(aws, unique(), "cloudtrail.amazonaws.com", policy=may)
    policy = document(bucket_policy(bucket, name))
    aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    with pytest.raises(
        ClientError, match=r"InvalidCloudWatchLogsRoleArnException.*CreateLogStream"
    ):
        aws.client("cloudtrail").create_trail(
            Name=name, S3BucketName=bucket, CloudWatchLogsRoleArn=role,
            CloudWatchLogsLogGroupArn=group_arn(log_group),
        )  # fmt: skip


def without(index: int) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda policy: [one for number, one in enumerate(policy) if number != index]


@pytest.mark.parametrize(
    "change",
    [
        without(0),
        without(1),
        lambda policy: json.loads(json.dumps(policy).replace("trail/", "trail/of-another-")),
    ],
    ids=["no GetBucketAcl", "no PutObject", "for another trail"],
)
def test_a_bucket_has_to_let_the_trail_in(aws: Aws, change: Any) -> None:
    s3, bucket, name = aws.client("s3"), unique(), unique()
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document(change(bucket_policy(bucket, name))))
    cloudtrail = aws.client("cloudtrail")
    with pytest.raises(ClientError, match="InsufficientS3BucketPolicyException"):
        cloudtrail.create_trail(Name=name, S3BucketName=bucket)
    assert cloudtrail.describe_trails(trailNameList=[name])["trailList"] == []


def test_a_bucket_that_lets_it_no_longer_is_named_in_the_status(
    aws: Aws, bucket: str, make: Any
) -> None:
    trail = make(unique())
    aws.client("s3").delete_bucket_policy(Bucket=bucket)
    cloudtrail = aws.client("cloudtrail")
    status = eventually(
        lambda: cloudtrail.get_trail_status(Name=trail),
        enough=lambda status: "LatestDeliveryError" in status,
    )
    assert status["LatestDeliveryError"] == "AccessDenied"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Name": "ab"}, "InvalidTrailNameException"),
        ({"Name": "a--b"}, "InvalidTrailNameException"),
        ({"Name": "192.168.5.4"}, "InvalidTrailNameException"),
        ({"S3BucketName": "there-is-none"}, "S3BucketDoesNotExistException"),
        ({"KmsKeyId": "alias/aws/s3"}, "UnsupportedOperationException"),
        ({"SnsTopicName": "topic"}, "UnsupportedOperationException"),
        ({"IsOrganizationTrail": True}, "UnsupportedOperationException"),
        ({"CloudWatchLogsRoleArn": "arn:aws:iam::123456789012:role/x"}, "InvalidParameter"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value),
)
def test_what_no_trail_can_be(aws: Aws, bucket: str, given: dict[str, Any], code: str) -> None:
    policy = document(bucket_policy(bucket, "no-trail"))
    aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    with pytest.raises(ClientError, match=code):
        aws.client("cloudtrail").create_trail(
            **{"Name": "no-trail", "S3BucketName": bucket, **given}
        )


def test_what_cannot_be_selected(aws: Aws, make: Any) -> None:
    trail, cloudtrail = make(), aws.client("cloudtrail")
    fields = [{"Field": "eventCategory", "Equals": ["NetworkActivity"]}]
    for selectors in (
        {"EventSelectors": [{"DataResources": [{"Type": "AWS::SNS::Topic", "Values": []}]}]},
        {"AdvancedEventSelectors": [{"FieldSelectors": fields}]},
    ):
        with pytest.raises(ClientError, match="InvalidEventSelectorsException"):
            cloudtrail.put_event_selectors(TrailName=trail, **selectors)


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A lab in which an hour is a second."""
    state_dir = tmp_path_factory.mktemp("hourly") / "state"
    with own_lab(state_dir, LABKIT_CLOCK_SCALE="3600") as aws:
        yield aws


REGIONS = ("us-east-1", "eu-west-1")


@dataclass(frozen=True)
class Chained:
    """A trail of all Regions that has delivered digests of several hours, and was stopped."""

    aws: Aws
    bucket: str
    trail: str

    def keys(self, kind: str, region: str) -> list[str]:
        below = f"AWSLogs/{ACCOUNT}/{kind}/{region}/"
        listed = self.aws.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=below)
        return [one["Key"] for one in listed.get("Contents", [])]

    def read(self, key: str) -> dict[str, Any]:
        body = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return json.loads(gzip.decompress(body))


@pytest.fixture(scope="module")
def chained(hourly: Aws) -> Chained:
    s3, cloudtrail = hourly.client("s3"), hourly.client("cloudtrail")
    chained = Chained(hourly, unique(), unique())
    s3.create_bucket(Bucket=chained.bucket)
    policy = document(bucket_policy(chained.bucket, chained.trail))
    s3.put_bucket_policy(Bucket=chained.bucket, Policy=policy)
    cloudtrail.create_trail(
        Name=chained.trail, S3BucketName=chained.bucket,
        IsMultiRegionTrail=True, EnableLogFileValidation=True,
    )  # fmt: skip
    cloudtrail.start_logging(Name=chained.trail)
    topics = [boto3.client("sns", region_name=region, **keys_of(hourly)) for region in REGIONS]

    def digests() -> dict[str, int]:
        for sns in topics:
            sns.create_topic(Name=unique())
        return {one: len(chained.keys("CloudTrail-Digest", one)) for one in REGIONS}

    eventually(digests, enough=lambda found: min(found.values()) >= 3)
    cloudtrail.stop_logging(Name=chained.trail)
    return chained


def keys_of(aws: Aws) -> dict[str, str]:
    names = ("endpoint_url", "access_key_id", "secret_access_key")
    endpoint, key, secret = (aws.description[name] for name in names)
    return {
        "endpoint_url": endpoint,
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
    }


@pytest.mark.parametrize("region", REGIONS)
def test_a_trail_of_all_regions_has_a_folder_of_each(chained: Chained, region: str) -> None:
    """CloudTrail User Guide: "Understanding multi-Region trails"; "CloudTrail log file examples", file names."""
    found = [
        one for key in chained.keys("CloudTrail", region) for one in chained.read(key)["Records"]
    ]
    assert {one["awsRegion"] for one in found} == {region}
    assert "CreateTopic" in {one["eventName"] for one in found}


@pytest.mark.parametrize("region", REGIONS)
def test_each_hours_digest_has_the_signature_of_the_one_before(
    chained: Chained, region: str
) -> None:
    """CloudTrail User Guide: "CloudTrail digest file structure"."""
    keys = sorted(chained.keys("CloudTrail-Digest", region))
    s3, earlier = chained.aws.client("s3"), None
    for key in keys:
        digest = chained.read(key)
        assert digest["digestS3Object"] == key
        if earlier:
            signed = s3.head_object(Bucket=chained.bucket, Key=earlier["digestS3Object"])[
                "Metadata"
            ]
            assert digest["previousDigestS3Object"] == earlier["digestS3Object"]
            assert digest["previousDigestSignature"] == signed["signature"]
            assert digest["digestStartTime"] == earlier["digestEndTime"]
        earlier = digest


@pytest.mark.parametrize("region", REGIONS)
def test_the_digests_of_a_region_list_all_its_log_files(chained: Chained, region: str) -> None:
    def listed() -> set[str]:
        keys = chained.keys("CloudTrail-Digest", region)
        return {one["s3Object"] for key in keys for one in chained.read(key)["logFiles"]}

    eventually(listed, enough=lambda found: found == set(chained.keys("CloudTrail", region)))


@pytest.mark.parametrize("region", REGIONS)
def test_the_cli_follows_the_chain_of_a_region(chained: Chained, region: str) -> None:
    """CloudTrail User Guide: "Validating CloudTrail log file integrity with the AWS CLI"."""
    done = validate(chained.aws, chained.trail, "--region", region)
    assert done.returncode == 0, done.stdout + done.stderr
    [(valid, of)] = re.findall(r"(\d+)/(\d+) digest files valid", done.stdout)
    assert valid == of and int(valid) >= 3
    missing = sorted(chained.keys("CloudTrail-Digest", region))[1]
    chained.aws.client("s3").delete_object(Bucket=chained.bucket, Key=missing)
    done = validate(chained.aws, chained.trail, "--region", region)
    assert done.returncode == 1
    assert f"{missing}\tINVALID: not found" in done.stdout + done.stderr


def validate(aws: Aws, trail: str, *options: str) -> subprocess.CompletedProcess[str]:
    arn = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/{trail}"
    cli = [sys.executable, "-m", "awscli"]  # its own first line takes no path with a space
    command = ["cloudtrail", "validate-logs", "--trail-arn", arn, "--verbose"]
    return subprocess.run(
        [*cli, *command, "--start-time", "2020-01-01T00:00:00Z", *options],
        env=aws.env, capture_output=True, text=True,
    )  # fmt: skip


def test_the_cli_validates_what_was_delivered(aws: Aws, bucket: str, make: Any) -> None:
    cloudtrail, prefix = aws.client("cloudtrail"), unique()
    trail = make(prefix, EnableLogFileValidation=True)
    stopped(aws, bucket, prefix, trail)
    eventually(lambda: "LatestDigestDeliveryTime" in cloudtrail.get_trail_status(Name=trail))
    done = validate(aws, trail)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1/1 digest files valid" in done.stdout
    s3, below = aws.client("s3"), f"{prefix}/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/"
    [*_, changed] = s3.list_objects_v2(Bucket=bucket, Prefix=below)["Contents"]
    content = gzip.compress(json.dumps({"Records": []}).encode())
    s3.put_object(Bucket=bucket, Key=changed["Key"], Body=content)
    done = validate(aws, trail)
    assert done.returncode == 1
    assert f"{changed['Key']}\tINVALID: hash value doesn't match" in done.stderr
