"""Exercise: a robot may far too much; what it does stands in the trail, and it keeps just that.

Pages: "Grant least privilege" in the IAM User Guide; "Viewing events with CloudTrail Event history".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3

from labkit.lab import Lab
from labkit.provision import artifacts
from labkit.provision.aws import created
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.people import person, refusal

_CLIENTS = ("s3", "sqs", "ssm", "codecommit")


def begin(facts: Facts) -> dict[str, Any]:
    """Everything of four services."""
    everything = {"Effect": "Allow", "Action": [f"{one}:*" for one in _CLIENTS], "Resource": "*"}
    return {"policy": {"Version": "2012-10-17", "Statement": [everything]}}


def prepare(lab: Lab, facts: Facts) -> None:
    """What the robot works with, and a night of its work for the trail to tell of."""
    artifacts.create_bucket(lab)
    created(lab.client("codecommit").create_repository, repositoryName=lab.repository)
    for name in (lab.name, f"{lab.name}-other"):
        lab.client("sqs").create_queue(QueueName=name)
        lab.client("ssm").put_parameter(
            Name=f"/{name}/version", Value="1", Type="String", Overwrite=True
        )
    for key in ("releases/1.zip", "releases/2.zip", "secrets/1.zip"):
        lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=b"zip")
    robot = person(lab, "robot", begin(facts)["policy"])
    calls = _calls(lab, robot, lab.name, "releases")
    for action in _night(facts):
        refusal(calls[action])


Call = Callable[[], Any]


def _calls(lab: Lab, session: boto3.Session, name: str, folder: str) -> dict[str, Call]:
    """Everything that is tried with the queue and the parameter of this name, and in this folder."""
    s3, sqs, ssm = (session.client(service) for service in ("s3", "sqs", "ssm"))
    codecommit = session.client("codecommit")
    queue = {"QueueUrl": lab.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]}
    item = {"Bucket": lab.bucket, "Key": f"{folder}/1.zip"}
    repository = {"repositoryName": lab.repository}
    version = f"/{name}/version"
    return {
        "s3:GetObject": lambda: s3.get_object(**item),
        "s3:PutObject": lambda: s3.put_object(**item, Body=b"zip"),
        "s3:DeleteObject": lambda: s3.delete_object(**item | {"Key": f"{folder}/2.zip"}),
        "sqs:SendMessage": lambda: sqs.send_message(**queue, MessageBody="done"),
        "sqs:ReceiveMessage": lambda: sqs.receive_message(**queue),
        "ssm:GetParameter": lambda: ssm.get_parameter(Name=version),
        "ssm:PutParameter": lambda: ssm.put_parameter(
            Name=version, Value="2", Type="String", Overwrite=True
        ),
        "codecommit:GetRepository": lambda: codecommit.get_repository(**repository),
        "codecommit:ListBranches": lambda: codecommit.list_branches(**repository),
    }


# what varies in the robot's work, and what else it might work on
_ELSEWHERE = {
    "object": "another folder",
    "queue": "another queue",
    "parameter": "another parameter",
}


def _night(facts: Facts) -> list[str]:
    """What the robot does at night."""
    return [facts[kind] for kind in _ELSEWHERE]


@dataclass(frozen=True)
class Outcome:
    """What the robot was refused of its work, and what it could do beside it: there, and elsewhere."""

    refused: dict[str, str]
    beside: list[str]
    elsewhere: list[str]

    def spares(self, *possible: str) -> bool:
        """Whether the work goes, and nothing of this was possible.

        Raises:
            NotYetError: who may do nothing at all may do nothing beside either.
        """
        if self.refused:
            raise NotYetError("first let the robot do its work")
        return not possible


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Let the robot do its work, and all else that it can think of."""
    robot, work = person(lab, "robot", answer["policy"]), _night(facts)
    calls = _calls(lab, robot, lab.name, "releases")
    tries = {action: refusal(call) for action, call in calls.items()}
    others = _calls(lab, robot, f"{lab.name}-other", "secrets")
    return Outcome(
        {action: said for action, said in tries.items() if said and action in work},
        [action for action, said in tries.items() if not said and action not in work],
        [what for kind, what in _ELSEWHERE.items() if not refusal(others[facts[kind]])],
    )


def _not(what: str) -> Callable[[Outcome], bool]:
    return lambda it: it.spares(*(one for one in it.elsewhere if one == what))


EXERCISE = Exercise(
    title="trim the policy",
    lesson="12_least_privilege",
    level=2,
    given={"name": ("shop-11", "ledger-11", "tickets-11", "library-11", "weather-11", "menu-11")},
    hidden={
        "object": ("s3:PutObject", "s3:GetObject", "s3:DeleteObject"),
        "queue": ("sqs:SendMessage", "sqs:ReceiveMessage"),
        "parameter": ("ssm:PutParameter", "ssm:GetParameter"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "the robot still does its work",
            lambda it: not it.refused,
            lambda it: "; ".join(it.refused.values()),
            points=2,
        ),
        Check(
            "it may do nothing else there",
            lambda it: it.spares(*it.beside),
            lambda it: f"it may {', '.join(it.beside)} too, and has never done it",
        ),
        Check(
            "nor on another queue",
            _not("another queue"),
            "name the queue's ARN",
        ),
        Check(
            "nor on another parameter",
            _not("another parameter"),
            "name the parameter's ARN",
        ),
        Check(
            "nor in another folder of the bucket",
            _not("another folder"),
            "name the folder in the object's ARN: bucket/releases/*",
        ),
    ),
)
