"""Sessions of roles: their length, their tags along a chain of roles, and what limits them.

AWS pages: "AssumeRole" in the AWS STS API Reference; "Pass session tags in AWS STS".
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Aws
from tests.iam.identities import ACCOUNT, allow, deny, role, session
from tests.roles import document

ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
TEAM = {"Key": "team", "Value": "shop"}


def trusting(*actions: str, **more: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": ROOT,
        "Action": ["sts:AssumeRole", *actions],
        **more,
    }


@pytest.fixture(scope="module")
def tagged(aws: Aws) -> str:
    """A role of the team `platform`, whose sessions may say that they are of another."""
    shop = {"StringEquals": {"aws:PrincipalTag/Team": "shop"}}
    return role(
        aws,
        allow("sns:ListTopics", Condition=shop),
        allow("sts:*"),
        trust=trusting("sts:TagSession"),
        Tags=[{"Key": "Team", "Value": "platform"}],
    )


def lists_topics(somebody: Any) -> bool:
    try:
        somebody.client("sns").list_topics()
    except ClientError as error:
        assert "not authorized to perform: sns:ListTopics" in str(error)
        return False
    return True


def test_how_long_a_session_may_be(aws: Aws) -> None:
    arn, iam = role(aws, allow("sts:AssumeRole")), aws.client("iam")
    name = arn.rpartition("/")[2]
    with pytest.raises(ClientError, match="exceeds the MaxSessionDuration set for this role"):
        session(aws, arn, DurationSeconds=7200)
    iam.update_role(RoleName=name, MaxSessionDuration=7200)
    iam.update_role(RoleName=name, Description="long")
    assert iam.get_role(RoleName=name)["Role"]["MaxSessionDuration"] == 7200
    one = session(aws, arn, DurationSeconds=7200)
    with pytest.raises(ClientError, match="exceeds the MaxSessionDuration set for this role"):
        session(aws, arn, DurationSeconds=7201)

    # however long the role's own sessions may be, one that another role's session asks for is of an hour
    with pytest.raises(ClientError, match="exceeds the 1 hour session limit") as raised:
        session(aws, arn, by=one, DurationSeconds=3601)
    assert raised.value.response["Error"]["Code"] == "ValidationError"
    session(aws, arn, by=one, DurationSeconds=3600)


def test_a_session_s_tags_hide_the_role_s(aws: Aws, tagged: str) -> None:
    assert not lists_topics(session(aws, tagged))
    assert lists_topics(session(aws, tagged, Tags=[TEAM]))


def test_to_tag_a_session_the_trust_policy_has_to_allow_it(aws: Aws) -> None:
    arn = role(aws, trust=trusting())
    session(aws, arn)
    with pytest.raises(ClientError, match=f"sts:TagSession on resource: {arn}"):
        session(aws, arn, Tags=[TEAM])


def test_a_trust_policy_may_ask_for_a_tag(aws: Aws) -> None:
    asks = {"StringEquals": {"aws:RequestTag/team": "shop"}}
    arn = role(aws, trust=trusting("sts:TagSession", Condition=asks))
    session(aws, arn, Tags=[TEAM])
    for tags in ([], [{"Key": "team", "Value": "other"}]):
        with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
            session(aws, arn, Tags=tags)


def test_a_transitive_tag_goes_along_the_chain_and_cannot_be_changed(aws: Aws, tagged: str) -> None:
    first = session(aws, tagged, Tags=[TEAM], TransitiveTagKeys=["team"])
    second = session(aws, tagged, by=first)
    assert lists_topics(second)
    assert lists_topics(session(aws, tagged, by=second))
    with pytest.raises(ClientError, match="conflicts with a transitive tag key") as raised:
        session(aws, tagged, by=second, Tags=[{"Key": "TEAM", "Value": "other"}])
    assert raised.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_a_tag_that_is_not_transitive_stays_where_it_is(aws: Aws, tagged: str) -> None:
    first = session(aws, tagged, Tags=[TEAM])
    assert not lists_topics(session(aws, tagged, by=first))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"Tags": [TEAM, {"Key": "Team", "Value": "x"}]}, "Duplicate tag keys found"),
        (
            {"Tags": [TEAM], "TransitiveTagKeys": ["stage"]},
            "must be included in the requested tags",
        ),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/NoSuchPolicy"}]}, "does not exist"),
        (
            {"SerialNumber": "arn:aws:iam::123456789012:mfa/me", "TokenCode": "123456"},
            "not support",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_session_cannot_be_given(
    aws: Aws, tagged: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said):
        session(aws, tagged, **given)


def test_managed_policies_limit_a_session_as_an_inline_one_does(aws: Aws) -> None:
    arn = role(aws, allow("*"))
    reading = [{"arn": "arn:aws:iam::aws:policy/AmazonSNSReadOnlyAccess"}]
    sns = session(aws, arn, PolicyArns=reading).client("sns")
    sns.list_topics()
    with pytest.raises(ClientError, match="because no session policy allows"):
        sns.create_topic(Name="t")
    denying = document([allow("*"), deny("sns:ListTopics")])
    with pytest.raises(ClientError, match="with an explicit deny in a session policy"):
        session(aws, arn, PolicyArns=reading, Policy=denying).client("sns").list_topics()


def test_a_source_identity_stays_with_the_chain(aws: Aws) -> None:
    ann = {"StringEquals": {"aws:SourceIdentity": "ann"}}
    arn = role(
        aws,
        allow("sns:ListTopics", Condition=ann),
        allow("sts:*"),
        trust=trusting("sts:SetSourceIdentity"),
    )
    assert not lists_topics(session(aws, arn))
    first = session(aws, arn, SourceIdentity="ann")
    assert lists_topics(first)
    assert lists_topics(session(aws, arn, by=first))
    with pytest.raises(ClientError, match="cannot be changed"):
        session(aws, arn, by=first, SourceIdentity="bob")


def test_sessions_of_before_can_be_shut_out(aws: Aws) -> None:
    # "Revoke IAM role temporary security credentials"
    arn = role(aws, allow("*"))
    name, before = arn.rpartition("/")[2], session(aws, arn)
    assert lists_topics(before)
    older = {"DateLessThan": {"aws:TokenIssueTime": "2999-01-01T00:00:00Z"}}
    aws.client("iam").put_role_policy(
        RoleName=name,
        PolicyName=f"AWSRevokeOlderSessions{uuid4().hex[:4]}",
        PolicyDocument=document(deny("*", Condition=older)),
    )
    assert not lists_topics(before)
