"""Lifecycle rules act, at a midnight of the scaled clock: in a lab in which a day is a second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.conftest import Aws, own_lab
from tests.queues import create_queue
from tests.roles import document
from tests.waiting import eventually

pytestmark = pytest.mark.slow

TABLE = tables.read(Path(__file__).parent / "lifecycle.yaml")
ACTS, REFUSES = TABLE["acts"], TABLE["refuses"]
DAY = 86400 / 60  # seconds, in a lab as it comes


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A lab in which a day is a second."""
    state_dir = tmp_path_factory.mktemp("fast") / "state"
    with own_lab(state_dir, LABKIT_CLOCK_SCALE="86400") as aws:
        yield aws


def bucket(aws: Aws, rules: list[dict[str, Any]], versioning: str | None = None) -> str:
    s3, name = aws.client("s3"), f"b-{uuid4().hex[:10]}"
    s3.create_bucket(Bucket=name)
    for status in {"Enabled": ["Enabled"], "Suspended": ["Enabled", "Suspended"]}.get(
        versioning or "", []
    ):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
    put_rules(s3, name, rules)
    return name


def put_rules(s3: Any, name: str, rules: list[dict[str, Any]]) -> None:
    rules = [{"Status": "Enabled", **rule} for rule in rules]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})


def put(s3: Any, name: str, key: str, size: int = 0, **how: Any) -> str | None:
    """Put an object, or delete one; returns its version's id."""
    if how.pop("delete", False):
        return s3.delete_object(Bucket=name, Key=key)["VersionId"]
    chosen = {"tags": "Tagging", "class": "StorageClass"}
    how = {chosen[option]: value for option, value in how.items()}
    made = s3.put_object(Bucket=name, Key=key, Body=b"x" * size * 1024, **how)
    return made.get("VersionId", "null")


def left(s3: Any, name: str, numbers: dict[tuple[str, str], int]) -> dict[str, list[Any]]:
    """Of each key its versions, the newest first, as the table has them."""
    found = s3.list_object_versions(Bucket=name)
    stacks: dict[str, list[Any]] = {}
    both = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    for one in sorted(both, key=lambda one: (one["IsLatest"], one["LastModified"]), reverse=True):
        number = numbers.get((one["Key"], one["VersionId"]), "marker")
        kind = one.get("StorageClass", "STANDARD")
        if "Size" not in one and one["VersionId"] == "null":
            number = "marker"
        stacks.setdefault(one["Key"], []).append(
            number if kind == "STANDARD" else f"{number} {kind}"
        )
    return {key: sorted(stack, key=_place, reverse=True) for key, stack in stacks.items()}


def _place(one: Any) -> float:
    return float("inf") if one == "marker" else float(str(one).split()[0])


@pytest.fixture(scope="module")
def played(fast: Aws) -> dict[str, tuple[str, dict[tuple[str, str], int]]]:
    """The bucket of each case, and the numbers of its versions: all made first, as their days pass together."""
    made = {}
    for case, given in ACTS.items():
        name = bucket(fast, given["rules"], given.get("versioning"))
        numbers = {
            (one["key"], str(put(fast.client("s3"), name, **one))): number
            for number, one in enumerate(given["objects"], start=1)
        }
        made[case] = name, numbers
    return made


@pytest.mark.parametrize(("name", "case"), ACTS.items(), ids=ACTS)
def test_a_rule_acts(fast: Aws, played: Any, name: str, case: dict[str, Any]) -> None:
    s3 = fast.client("s3")
    name, numbers = played[name]
    eventually(
        lambda: left(s3, name, numbers),
        enough=lambda found: found == case["left"],
        what=f"not {case['left']}",
    )


@pytest.mark.parametrize("case", REFUSES, ids=[row["says"] for row in REFUSES])
def test_a_rule_is_refused(aws: Aws, case: dict[str, Any]) -> None:
    name = bucket(aws, [{"Filter": {}, "Expiration": {"Days": 7}}])
    with pytest.raises(ClientError) as refused:
        put_rules(aws.client("s3"), name, [case["rule"]])
    assert refused.value.response["Error"]["Code"] == case["code"]
    assert case["says"] in refused.value.response["Error"]["Message"]
    kept = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert kept[0]["Expiration"] == {"Days": 7}


def test_two_rules_of_one_id_are_refused(aws: Aws) -> None:
    rule = {"ID": "one", "Filter": {}, "Expiration": {"Days": 1}}
    with pytest.raises(ClientError, match="Rule ID must be unique"):
        bucket(aws, [rule, rule])


def test_a_rule_comes_back_as_it_was_put(aws: Aws) -> None:
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "a/", "ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 50}},
        "Expiration": {"Date": datetime(2124, 1, 1, tzinfo=UTC)},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        "Transitions": [{"Date": datetime(2123, 1, 1, tzinfo=UTC), "StorageClass": "GLACIER"}],
    }
    name = bucket(aws, [rule])
    found = aws.client("s3").get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [json.dumps(one, default=datetime.isoformat, sort_keys=True) for one in found] == [
        json.dumps(rule, default=datetime.isoformat, sort_keys=True)
    ]


def test_an_upload_is_given_up(fast: Aws) -> None:
    """S3 User Guide: "Configuring a bucket lifecycle configuration to delete incomplete multipart uploads"."""
    s3 = fast.client("s3")
    after_a_day = {"DaysAfterInitiation": 1}
    name = bucket(
        fast, [{"Filter": {"Prefix": "z"}, "AbortIncompleteMultipartUpload": after_a_day}]
    )
    for key in ("a", "z"):
        s3.create_multipart_upload(Bucket=name, Key=key)
    eventually(
        lambda: [one["Key"] for one in s3.list_multipart_uploads(Bucket=name).get("Uploads", [])],
        enough=lambda keys: keys == ["a"],
    )


def test_no_policy_stops_a_rule(fast: Aws) -> None:
    """re:Post: S3 Lifecycle acts where a bucket policy denies deletes."""
    s3 = fast.client("s3")
    name = bucket(fast, [{"Filter": {}, "Expiration": {"Days": 1}}])
    s3.put_object(Bucket=name, Key="k", Body=b"")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:Delete*", "Resource": f"arn:aws:s3:::{name}/*"}  # fmt: skip
    s3.put_bucket_policy(Bucket=name, Policy=document(deny))
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=name, Key="k")
    eventually(lambda: not s3.list_objects_v2(Bucket=name)["KeyCount"])


def test_what_is_archived_is_not_read(fast: Aws) -> None:
    """S3 User Guide: "Working with archived objects"."""
    s3 = fast.client("s3")
    name = bucket(fast, [{"Filter": {}, "Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]}])
    put(s3, name, "k", size=128)
    eventually(lambda: s3.head_object(Bucket=name, Key="k").get("StorageClass") == "GLACIER")
    with pytest.raises(ClientError, match="InvalidObjectState"):
        s3.get_object(Bucket=name, Key="k")


def test_a_bucket_tells_of_what_its_rules_do(fast: Aws) -> None:
    """S3 User Guide: "Configuring S3 Lifecycle event notifications"; "EventBridge event message structure"."""
    s3, events = fast.client("s3"), fast.client("events")
    url, arn = create_queue(fast, "of-the-bucket", "s3.amazonaws.com")
    bus_url, bus_arn = create_queue(fast, "of-the-bus", "events.amazonaws.com")
    pattern = json.dumps({"source": ["aws.s3"], "detail": {"reason": ["Lifecycle Expiration"]}})
    events.put_rule(Name="expired", EventPattern=pattern)
    events.put_targets(Rule="expired", Targets=[{"Id": "queue", "Arn": bus_arn}])
    name = bucket(fast, [{"Filter": {}, "Expiration": {"Days": 1}}], "Enabled")
    queues = [{"QueueArn": arn, "Events": ["s3:LifecycleExpiration:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={"QueueConfigurations": queues, "EventBridgeConfiguration": {}},
    )
    s3.put_object(Bucket=name, Key="k", Body=b"")

    told = received(fast, url, lambda one: "Records" in one)["Records"][0]
    assert (told["eventName"], told["s3"]["object"]["key"]) == (
        "LifecycleExpiration:DeleteMarkerCreated",
        "k",
    )
    event = received(fast, bus_url, lambda one: True)
    assert event["detail-type"] == "Object Deleted"
    assert event["detail"]["deletion-type"] == "Delete Marker Created"
    assert event["detail"]["requester"] == "s3.amazonaws.com"


def received(aws: Aws, url: str, wanted: Any) -> dict[str, Any]:
    def read() -> list[dict[str, Any]]:
        answer = aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        bodies = [json.loads(one["Body"]) for one in answer.get("Messages", [])]
        return [body for body in bodies if wanted(body)]

    return eventually(read)[0]


def test_an_object_says_when_it_goes(aws: Aws) -> None:
    """The days, rounded up to the next midnight: "Lifecycle configuration elements", Expiration element."""
    s3 = aws.client("s3")
    name = bucket(aws, [{"ID": "old", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}])
    put(s3, name, "new")
    put(s3, name, "old/a")
    head = s3.head_object(Bucket=name, Key="old/a")
    date, rule = head["Expiration"].removeprefix("expiry-date=").split(", rule-id=")
    goes = parsedate_to_datetime(date.strip('"')).timestamp()
    made = head["LastModified"].timestamp()
    assert rule == '"old"'
    assert goes % DAY == 0
    assert DAY < goes - made <= 2 * DAY + 1
    assert "Expiration" not in s3.head_object(Bucket=name, Key="new")
