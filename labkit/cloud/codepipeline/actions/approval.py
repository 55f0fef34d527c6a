"""Approval action Manual: waits for somebody's answer.

AWS pages: "Manage approval actions in CodePipeline"; "JSON data format for manual approval
notifications in CodePipeline".
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.shared import runtime

DEFAULT_TIMEOUT_MINUTES = 7 * 24 * 60


def run(action: Action) -> None:
    """Hand out a token, tell the topic if there is one, and wait (on the lab's clock)."""
    minutes = action.declaration.get("timeoutInMinutes") or DEFAULT_TIMEOUT_MINUTES
    action.run.token = str(uuid.uuid4())
    action.run.external_id = action.run.token
    action.changed()
    topic = action.configuration.get("NotificationArn")
    if topic:
        _notify(action, topic, minutes)
    answered = action.run.answered.wait(runtime.current().clock.wait_seconds(60 * minutes))
    action.run.token = None
    if not answered:
        raise ActionFailed("JobFailed", f"The approval timed out after {minutes} minutes")
    answer: dict[str, str] = action.run.answer or {}
    action.run.summary = answer.get("summary")
    if answer.get("status") == "Rejected":
        raise ActionFailed("JobFailed", f"Rejected: {answer.get('summary', '')}")


def _notify(action: Action, topic: str, minutes: int) -> None:
    pipeline, stage, name = action.pipeline.name, action.run.stage, action.run.name
    region = action.pipeline.region
    console = f"https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{pipeline}/view?region={region}"
    approval: dict[str, Any] = {
        "pipelineName": pipeline,
        "stageName": stage,
        "actionName": name,
        "token": action.run.token,
        "expires": (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%MZ"),
        "externalEntityLink": action.configuration.get("ExternalEntityLink"),
        "approvalReviewLink": f"{console}#/{stage}/{name}/approve/{action.run.token}",
        "customData": action.configuration.get("CustomData"),
    }
    action.client("sns").publish(
        TopicArn=topic,
        Subject=f"APPROVAL NEEDED: AWS CodePipeline {pipeline} for action {name}"[:100],
        Message=json.dumps({"region": region, "consoleLink": console, "approval": approval}),
    )
