"""Who did what, and what a role was granted and used, read back of a trail that really has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from botocore.exceptions import ClientError

from labkit import Lab
from labkit.observe import audit
from labkit.provision import artifacts, trail
from tests.conftest import Aws
from tests.iam.identities import Identity, allow, role, session

pytestmark = pytest.mark.slow

NAME = "audited"


@pytest.fixture(scope="module")
def begun() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def lab(aws: Aws, begun: datetime) -> Iterator[Lab]:
    """A lab with a bucket and a trail."""
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab(NAME)
        artifacts.create_bucket(lab)
        trail.create_trail(lab)
        yield lab
        trail.delete_trail(lab)
        artifacts.delete_bucket(lab)


@pytest.fixture(scope="module")
def worked(aws: Aws, lab: Lab) -> Identity:
    """The session of a role that has read objects and topics, and was refused a queue."""
    bucket = f"arn:aws:s3:::{lab.bucket}"
    arn = role(
        aws,
        allow(["s3:PutObject", "s3:GetObject", "s3:DeleteObject"], f"{bucket}/*"),
        allow(["sns:ListTopics", "sns:CreateTopic", "logs:PutLogEvents"]),
    )
    who = session(aws, arn)
    s3 = who.client("s3")
    s3.put_object(Bucket=lab.bucket, Key="a", Body=b"1")
    s3.head_object(Bucket=lab.bucket, Key="a")
    who.client("sns").list_topics()
    with pytest.raises(ClientError):
        who.client("sqs").list_queues()
    lab.client("cloudtrail").stop_logging(Name=trail.name(lab))
    audit.wait_for_delivery(lab, trail.name(lab))
    return who


def states(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["action"], frame["state"], strict=True))


def test_what_was_granted_is_read_from_the_policies(lab: Lab, worked: Identity) -> None:
    granted = audit.granted(lab, worked.name)
    assert list(granted["action"])[:3] == ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
    assert set(granted["policy"]) == {"own"}
    assert granted["resources"][0] == f"arn:aws:s3:::{lab.bucket}/*"


def test_attached_policies_are_granted_too(aws: Aws, lab: Lab) -> None:
    name = role(aws).rpartition("/")[2]
    arn = "arn:aws:iam::aws:policy/AWSCodePipelineApproverAccess"
    lab.client("iam").attach_role_policy(RoleName=name, PolicyArn=arn)
    granted = audit.granted(lab, name)
    assert "codepipeline:PutApprovalResult" in set(granted["action"])
    assert set(granted["policy"]) == {"AWSCodePipelineApproverAccess"}


def test_the_event_history_says_what_it_cannot_tell(lab: Lab, worked: Identity) -> None:
    assert states(audit.use(lab, worked.name)) == {
        "sns:ListTopics": audit.USED,
        "sqs:ListQueues": audit.REFUSED,
        "sns:CreateTopic": audit.NEVER,
        "s3:PutObject": audit.UNSEEN,
        "s3:GetObject": audit.UNSEEN,
        "s3:DeleteObject": audit.UNSEEN,
        "logs:PutLogEvents": audit.UNSEEN,
    }


def test_a_trail_with_data_events_tells_more(lab: Lab, worked: Identity) -> None:
    frame = audit.use(lab, worked.name, trail=trail.name(lab))
    assert states(frame) == {
        "s3:PutObject": audit.USED,
        "s3:GetObject": audit.USED,
        "sns:ListTopics": audit.USED,
        "sqs:ListQueues": audit.REFUSED,
        "s3:DeleteObject": audit.NEVER,
        "sns:CreateTopic": audit.NEVER,
        "logs:PutLogEvents": audit.UNSEEN,
    }
    refused = frame.set_index("action").loc["sqs:ListQueues"]
    assert (refused["granted"], refused["calls"], refused["refused"]) == (False, 1, 1)
    assert frame["last"].notna().sum() == 4


def test_a_pattern_is_used_when_any_action_of_it_is(aws: Aws, lab: Lab) -> None:
    who = session(aws, role(aws, allow("sns:*")))
    who.client("sns").list_topics()
    frame = audit.use(lab, who.name)
    assert states(frame) == {"sns:*": audit.USED}
    assert frame["calls"][0] == 1


def test_a_role_without_sessions_has_used_nothing(aws: Aws, lab: Lab) -> None:
    name = role(aws, allow("sns:ListTopics")).rpartition("/")[2]
    assert audit.used(lab, name).empty
    assert states(audit.use(lab, name)) == {"sns:ListTopics": audit.NEVER}


def test_statements_are_trimmed_to_what_is_kept() -> None:
    statements = [allow(["a:One", "a:Two"], "x"), allow(["b:One"]), allow("c:One", "y")]
    assert audit.trimmed(statements, ["a:Two", "c:One"]) == [
        allow(["a:Two"], "x"),
        allow(["c:One"], "y"),
    ]


def test_who_changed_a_policy(aws: Aws, lab: Lab, begun: datetime) -> None:
    iam, name = lab.client("iam"), f"{NAME}-role"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=policy)
    frame = audit.who(lab, "changed a policy", since=begun)
    named = frame[frame["on"].str.contains(NAME)]  # others may speak of the bucket
    assert named[["who", "event", "on", "error"]].values.tolist() == [
        ["learner", "PutBucketPolicy", trail.bucket(lab), ""],
        ["learner", "UpdateAssumeRolePolicy", f"role/{name}", ""],
    ]
    iam.delete_role(RoleName=name)


def test_who_did_is_asked_by_the_name_of_an_event_too(
    aws: Aws, lab: Lab, worked: Identity, begun: datetime
) -> None:
    name = f"{NAME}-by-a-role"
    allowed = allow("codebuild:DeleteProject")
    who = session(aws, role(aws, allowed))
    who.client("codebuild").delete_project(name=name)
    with pytest.raises(ClientError):
        worked.client("codebuild").delete_project(name=name)
    frame = audit.who(lab, "DeleteProject", since=begun)
    rows = frame[["who", "role", "on", "error"]].values.tolist()
    assert sorted(rows) == sorted(
        [
            ["me", who.name, f"project/{name}", ""],
            ["me", worked.name, f"project/{name}", "AccessDeniedException"],
        ]
    )
    assert set(audit.questions()) >= {"pushed", "approved", "deployed", "changed a policy"}


def test_the_chart_says_in_words_what_was_never_used(lab: Lab, worked: Identity) -> None:
    frame = audit.use(lab, worked.name, trail=trail.name(lab))
    chart: Any = audit.chart_use(frame)
    assert "3 used, 1 refused, 2 never used, 1 leaves no event" in chart.alt
    assert "Never used: s3:DeleteObject, sns:CreateTopic." in chart.alt
    assert all(action in chart.html for action in frame["action"])
    assert "granted nothing" in audit.chart_use(frame.head(0)).alt
