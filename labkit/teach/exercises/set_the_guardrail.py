"""Exercise: what nobody in the production account may do, its administrator neither, but one role for the night.

Pages: "Service control policies (SCPs)"; "SCP evaluation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.lab import Lab
from labkit.provision import accounts, roles
from labkit.provision.aws import create_bucket, created
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError, taken
from labkit.teach.exercises.people import refusal

_ADMIN = "administrator"


def begin(facts: Facts) -> dict[str, Any]:
    """A guardrail that guards nothing yet: it takes nothing away."""
    nothing = {"Effect": "Deny", "Action": "organizations:LeaveOrganization", "Resource": "*"}
    return {"guardrail": {"Version": "2012-10-17", "Statement": [nothing]}}


def prepare(lab: Lab, facts: Facts) -> None:
    """An organization with an account for production, and in it a trail and two roles."""
    production = _production(lab)
    iam, account = production.client("iam"), production.account_id
    trust = {"Effect": "Allow", "Principal": {"AWS": lab.account_id}, "Action": "sts:AssumeRole"}
    for role in (_ADMIN, facts["role"]):
        created(iam.create_role, RoleName=role, AssumeRolePolicyDocument=roles.document(trust))
        iam.put_role_policy(
            RoleName=role, PolicyName=roles.POLICY, PolicyDocument=roles.document(_everything())
        )
    s3, trail = production.client("s3"), production.client("cloudtrail")
    bucket = f"{lab.name}-trail-{account}"
    create_bucket(production, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=_trail_may_write(bucket))
    created(trail.create_trail, Name=lab.name, S3BucketName=bucket)
    trail.start_logging(Name=lab.name)


def _production(lab: Lab) -> Lab:
    """The production account; nothing guards it at first."""
    accounts.create_organization(lab)
    account = accounts.create_account(lab, f"{lab.name}-production")
    accounts.delete_guardrail(lab, lab.name)
    return accounts.enter(lab, account)


def _everything() -> roles.Statement:
    return {"Effect": "Allow", "Action": "*", "Resource": "*"}


def _trail_may_write(bucket: str) -> str:
    service = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
    arn = f"arn:aws:s3:::{bucket}"
    return roles.document(
        {**service, "Action": "s3:GetBucketAcl", "Resource": arn},
        {**service, "Action": "s3:PutObject", "Resource": f"{arn}/*"},
    )


@dataclass(frozen=True)
class Outcome:
    """What AWS said to the administrator and to the role for the night; "" is that it was done."""

    admin: dict[str, str]
    night: dict[str, str]

    def denies(self, *what: str) -> bool:
        """Whether the administrator was refused all of this, by a service control policy.

        Raises:
            NotYetError: who may do nothing at all is refused this as well.
        """
        if self.admin["work"]:
            raise NotYetError("first let the administrator do their usual work")
        return all("service control policy" in self.admin[one] for one in what)


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Attach the guardrail, and let both try."""
    production = _production(lab)
    with taken("guardrail"):
        statements = answer["guardrail"]["Statement"]
        statements = statements if isinstance(statements, list) else [statements]
        accounts.create_guardrail(lab, lab.name, production.account_id, *statements)
    tried = {role: _tries(lab, production, role) for role in (_ADMIN, facts["role"])}
    accounts.delete_guardrail(lab, lab.name)
    production.client("cloudtrail").start_logging(Name=lab.name)
    return Outcome(tried[_ADMIN], tried[facts["role"]])


def _tries(lab: Lab, production: Lab, role: str) -> dict[str, str]:
    """What AWS says to somebody who acts as this role of the account."""
    acting = Lab(lab.name, lab.target, acts_as=f"arn:aws:iam::{production.account_id}:role/{role}")
    trail, iam = acting.client("cloudtrail"), acting.client("iam")
    return {
        "work": refusal(acting.client("s3").list_buckets) or refusal(iam.list_roles),
        "stop": refusal(trail.stop_logging, Name=lab.name),
        "weaken": refusal(trail.update_trail, Name=lab.name, IsMultiRegionTrail=False),
        "key": refusal(_make_key, iam=iam),
    }


def _make_key(iam: Any) -> None:
    """A user with a key that never expires."""
    created(iam.create_user, UserName="robot")
    key = iam.create_access_key(UserName="robot")["AccessKey"]["AccessKeyId"]
    iam.delete_access_key(UserName="robot", AccessKeyId=key)


EXERCISE = Exercise(
    title="set the guardrail",
    lesson="13_accounts",
    level=3,
    given={
        "name": ("shop-12", "ledger-12", "tickets-12", "library-12"),
        "role": ("break-glass", "night-watch", "on-call", "platform", "rescue"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "the administrator of production can still do their usual work",
            lambda it: not it.admin["work"],
            lambda it: it.admin["work"],
        ),
        Check(
            "but cannot stop the trail",
            lambda it: it.denies("stop"),
            "deny cloudtrail:StopLogging",
        ),
        Check(
            "nor change it",
            lambda it: it.denies("weaken"),
            "deny cloudtrail:UpdateTrail: a trail that looks away is as good as none",
        ),
        Check(
            "nor make an access key, which never expires",
            lambda it: it.denies("key"),
            "deny iam:CreateAccessKey",
        ),
        Check(
            "the role {role} can do all three",
            lambda it: it.denies("stop") and not any(it.night.values()),
            lambda it: next((said for said in it.night.values() if said), "first guard the trail"),
        ),
    ),
)
