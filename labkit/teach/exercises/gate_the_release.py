"""Exercise: a gate before production: a person who sees what it is about, and an alarm that holds all back.

Pages: "Add a manual approval action to a pipeline in CodePipeline"; "How do stage conditions work?".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.provision import environments, pipeline, roles, source
from labkit.teach.exercises import alarms
from labkit.teach.exercises import small_releases as small
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.names import Names


def _action(lab: Lab, folder: str) -> dict[str, Any]:
    place = {"BucketName": environments.sites(lab), "Extract": "true", "ObjectKey": folder}
    return pipeline.action(("Deploy", "S3"), configuration=place, takes="SourceOutput")


def begin(facts: Facts) -> dict[str, Any]:
    """A stage that releases to production without a question."""
    deploy = _action(Names(facts["name"]), facts["production"])
    return {"production": {"name": "Production", "actions": [deploy]}}


def prepare(lab: Lab, facts: Facts) -> None:
    """A repository with a page, a bucket with two folders to release to, and an alarm that is off."""
    small.prepare(lab, roles.allow(["cloudwatch:DescribeAlarms"]))
    small.clear(lab)
    alarms.prepare(lab, facts["alarm"], "Shop")


@dataclass(frozen=True)
class Outcome:
    """What came of three releases: one approved, one rejected, and one while the alarm was on.

    Each text is what lay in production at that moment.
    """

    staged: str
    asked: str
    in_order: bool
    approved: str
    rejected: str
    alarmed: str
    texts: tuple[str, str, str]

    @property
    def waits(self) -> bool:
        """Whether a person was asked, and had answered before anything went to production."""
        return bool(self.asked) and self.in_order

    @property
    def let_through(self) -> bool:
        """Whether the approved release is in production.

        Raises:
            NotYetError: nobody was asked.
        """
        if not self.waits:
            raise NotYetError("first let a person be asked before production")
        return self.approved == self.texts[0]

    def kept_out(self, production: str, text: str) -> bool:
        """Whether this release is not in production.

        Raises:
            NotYetError: what comes through never is kept out by no gate.
        """
        if not self.let_through:
            raise NotYetError("first let an approved release through")
        return production != text


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Release three times."""
    fetch, *_ = pipeline.declaration(lab)["stages"]
    staging = {"name": "Staging", "actions": [_action(lab, facts["staging"])]}
    small.create(lab, small.declaration(lab, [fetch, staging, answer["production"]]))
    if pipeline.waiting_approval(lab):
        pipeline.reject(lab)
        observe.wait_for_execution(lab)
    small.clear(lab)
    folder, texts = facts["production"], tuple(small.page(one) for one in ("1", "2", "3"))
    _release(lab, texts[0])
    staged, asked = small.there(lab, facts["staging"]), _asked(lab)
    approved = _answered(lab, folder, yes=True)
    in_order = _in_order(lab)
    _release(lab, texts[1])
    rejected = _answered(lab, folder, yes=False)
    alarms.turn(lab, facts["alarm"], "ALARM")
    _release(lab, texts[2])
    alarmed = _answered(lab, folder, yes=True)
    alarms.turn(lab, facts["alarm"], "OK")
    first, second, third = texts
    return Outcome(staged, asked, in_order, approved, rejected, alarmed, (first, second, third))


def _release(lab: Lab, text: str) -> None:
    """Push a page, start the pipeline, and wait until it stands still."""
    source.push(lab, f"Release {text.strip()}", lambda clone: _page(clone, text))
    observe.wait_for_execution(lab, pipeline.start(lab))


def _page(clone: Any, text: str) -> None:
    (clone / small.PAGE).write_text(text, encoding="utf-8")


def _asked(lab: Lab) -> str:
    """What the approver reads; "" where nobody is asked."""
    if pipeline.waiting_approval(lab) is None:
        return ""
    state = lab.client("codepipeline").get_pipeline(name=lab.pipeline)["pipeline"]
    for stage in state["stages"]:
        for action in stage["actions"]:
            if action["actionTypeId"]["provider"] == "Manual":
                return str(action.get("configuration", {}).get("CustomData", "nothing"))
    return ""


def _in_order(lab: Lab) -> bool:
    """Whether the last deployment of the newest execution began after the approval had ended."""
    actions = observe.wait_for_execution(lab, until=lambda now: now.over).actions
    ended = [one.ended for one in actions if one.provider == "Manual"]
    began = [one.started for one in actions if one.provider == "S3"][-1]
    return bool(began and ended and ended[0] and ended[0] <= began)


def _answered(lab: Lab, folder: str, *, yes: bool) -> str:
    """Answer, where somebody is asked, and wait; returns what lies in production then."""
    if pipeline.answer_approval(lab, approved=yes, summary="For grading"):
        observe.wait_for_execution(lab, until=lambda now: now.over)
    return small.there(lab, folder)


def _shows_message(outcome: Outcome) -> bool:
    if not outcome.waits:
        raise NotYetError("first let a person be asked before production")
    return "#{SourceVariables.CommitMessage}" in outcome.asked


EXERCISE = Exercise(
    title="gate the release",
    lesson="09_environments",
    level=3,
    given={
        "name": ("shop-8", "ledger-8", "tickets-8", "library-8"),
        "staging": ("staging", "preview", "acceptance"),
        "production": ("live", "public", "visitors"),
        "alarm": ("errors", "latency", "saturation", "complaints"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "a release comes to {staging} without a question",
            lambda it: it.staged == it.texts[0],
            "the gate belongs before production, not before the stage in front of it",
        ),
        Check(
            "before it comes to {production} a person is asked",
            lambda it: it.waits,
            "put an approval into the stage; actions with a smaller runOrder come first",
        ),
        Check(
            "who sees the commit's message",
            _shows_message,
            "CustomData may name variables of the source action: #{SourceVariables.CommitMessage}",
        ),
        Check(
            "what is approved is released to {production}",
            lambda it: it.let_through,
            "the deployment has to follow the approval",
        ),
        Check(
            "what is rejected is not",
            lambda it: it.kept_out(it.rejected, it.texts[1]),
            "the deployment has to follow the approval",
        ),
        Check(
            "while the alarm {alarm} is on nothing is, whoever approves it",
            lambda it: it.kept_out(it.alarmed, it.texts[2]),
            "a condition before the stage is entered, with the rule CloudWatchAlarm",
        ),
    ),
)
