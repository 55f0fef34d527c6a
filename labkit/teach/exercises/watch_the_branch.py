"""Exercise: a rule that hears of the pushes that are to be released, and of no others.

Pages: "Monitoring CodeCommit events in Amazon EventBridge"; "Amazon EventBridge event patterns".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from labkit.lab import Lab
from labkit.provision import source
from labkit.provision.aws import created
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError, taken
from labkit.teach.exercises.pushes import commit, push

_ALL, _MINE = "all", "mine"
_WAIT_SECONDS = 20.0


def begin(facts: Facts) -> dict[str, Any]:
    """A pattern that hears of everything in CodeCommit."""
    return {"pattern": {"source": ["aws.codecommit"]}}


def prepare(lab: Lab, facts: Facts) -> None:
    """Two repositories, and a rule that hears all, with its queue."""
    source.first_commit(lab)
    created(lab.client("codecommit").create_repository, repositoryName=f"{lab.repository}-other")
    for who in (_ALL, _MINE):
        _queue(lab, who)
    _watch(lab, _ALL, {"source": ["aws.codecommit"]})


@dataclass(frozen=True)
class Outcome:
    """What the rule heard of: the names of branches, or "other" and "deleted"."""

    facts: Facts
    heard: set[str]

    def spares(self, what: str) -> bool:
        """Whether it heard of what counts, and not of this.

        Raises:
            NotYetError: it does not hear of what counts; so its silence means nothing.
        """
        if self.facts["branch"] not in self.heard:
            raise NotYetError("first let it hear of the pushes that count")
        return what not in self.heard


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Put the rule, move branches of two repositories, and see what the rule heard of."""
    with taken("pattern"):
        _watch(lab, _MINE, answer["pattern"])
    for who in (_ALL, _MINE):
        _heard(lab, who)  # of an earlier run
    branch, prefix = facts["branch"], facts["prefix"]
    clone = source.clone(lab)
    url = lab.client("codecommit").get_repository(repositoryName=f"{lab.repository}-other")
    commit(clone)
    push(clone, branch, f"{prefix}/1.4", f"feature-{prefix}")
    push(clone, f":{prefix}/1.4")
    push(clone, branch, to=url["repositoryMetadata"]["cloneUrlHttp"])
    _heard(lab, _ALL, 5)  # then nothing is on its way any more
    return Outcome(facts, {_word(lab, event) for event in _heard(lab, _MINE)})


def _word(lab: Lab, event: dict[str, Any]) -> str:
    detail = event["detail"]
    if detail["repositoryName"] != lab.repository:
        return "other"
    if detail["event"] == "referenceDeleted":
        return "deleted"
    return str(detail["referenceName"])


def _queue(lab: Lab, who: str) -> None:
    sqs, name = lab.client("sqs"), f"{lab.name}-{who}"
    may = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": lab.arn("sqs", name),
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    sqs.create_queue(QueueName=name, Attributes={"Policy": policy})


def _watch(lab: Lab, who: str, pattern: Any) -> None:
    events, name = lab.client("events"), f"{lab.name}-{who}"
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": lab.arn("sqs", name)}])


def _heard(lab: Lab, who: str, count: int = 0) -> list[dict[str, Any]]:
    """What comes to a queue until nothing more does, and `count` events at least."""
    sqs, found = lab.client("sqs"), []
    url = sqs.get_queue_url(QueueName=f"{lab.name}-{who}")["QueueUrl"]
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1 if count else 0
        )
        for message in answer.get("Messages", []):
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        quiet = not answer.get("Messages")
        if quiet and (len(found) >= count or time.monotonic() > until):
            return found


EXERCISE = Exercise(
    title="watch the branch",
    lesson="01_source",
    level=1,
    given={
        "name": ("shop-7", "ledger-7", "tickets-7", "library-7"),
        "branch": ("main", "trunk", "stable", "live"),
        "prefix": ("release", "hotfix", "candidate", "ship"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "the rule hears of a push to {branch}",
            lambda it: it.facts["branch"] in it.heard,
            "detail.referenceName is the branch; the first push to it is a referenceCreated",
        ),
        Check(
            "and of one to a branch below {prefix}/, whatever its number",
            lambda it: f"{it.facts['prefix']}/1.4" in it.heard,
            "a pattern may say how a value has to begin",
        ),
        Check(
            "not of a push to another branch, such as feature-{prefix}",
            lambda it: it.spares(f"feature-{it.facts['prefix']}"),
            "name the branches in detail.referenceName",
        ),
        Check(
            "not of another repository",
            lambda it: it.spares("other"),
            "name this repository's ARN in resources",
        ),
        Check(
            "not of a branch that is deleted: there is nothing to release",
            lambda it: it.spares("deleted"),
            "name the kinds of change in detail.event",
        ),
    ),
)
