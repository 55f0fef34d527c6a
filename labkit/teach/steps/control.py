"""Lesson 6b: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab
from labkit.observe import Snapshot


def approval_described(approval: dict[str, Any]) -> Iterator[str]:
    kind = approval["actionTypeId"]
    if kind != {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}:
        yield "its type is category Approval, owner AWS, provider Manual, version 1"
    if approval.get("inputArtifacts") or approval.get("outputArtifacts"):
        yield "an approval takes no artifacts and makes none"
    asked = approval.get("configuration", {}).get("CustomData", "")
    if not asked:
        yield "the approver would not see what to approve: CustomData, in the configuration"
    if "#{BuildVariables.APP_VERSION}" not in asked:
        yield f"every approver would read “{asked}”. Which version is it? #{{BuildVariables.APP_VERSION}}"


def what_the_old_token_did(refused: str | None) -> str:
    return "it is refused" if refused else "the new release is approved"


def approval_given(
    lab: Lab, answer: dict[str, Any] | None, waits: dict[str, str], waits_still: Any
) -> Iterator[str]:
    if waits_still is None:
        return  # a click on the live view's button has answered
    if not answer or "approvedAt" not in answer:
        yield "AWS has no answer from you yet. Call put_approval_result, and name what it returns answer"
    states = lab.client("codepipeline").get_pipeline_state(name=lab.pipeline)["stageStates"]
    stage = next(one for one in states if one["stageName"] == waits["stageName"])
    if stage["latestExecution"]["status"] == "Failed":
        yield "you said no: the result's status should be Approved"


def way_closed(lab: Lab) -> Iterator[str]:
    states = lab.client("codepipeline").get_pipeline_state(name=lab.pipeline)["stageStates"]
    ways = {one["stageName"]: one.get("inboundTransitionState", {}) for one in states}
    closed = [name for name, way in ways.items() if not way.get("enabled", True)]
    if not closed:
        yield "every way is still open: call disable_stage_transition"
    if closed != ["Deploy"]:
        yield f"you have closed the way into {', '.join(closed)}. Building may go on; close the one into Deploy"
    if not ways["Deploy"].get("disabledReason"):
        yield "tell your colleagues why it is closed: reason"


def the_older_one(first_of_two: Snapshot) -> str:
    return {"Superseded": "it is superseded", "Succeeded": "it is deployed first"}.get(
        first_of_two.status, "it waits"
    )


def how_to_stop(how: dict[str, Any]) -> Iterator[str]:
    if how.get("abandon", False) is not False:
        yield "the build would go on unwatched, and cost money. Let it finish: abandon is False"
    if not how.get("reason"):
        yield "people who read the history want to know why: reason"
    if set(how) - {"abandon", "reason"}:
        yield f"the next cell gives the rest; leave out {', '.join(set(how) - {'abandon', 'reason'})}"
