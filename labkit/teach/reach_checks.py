"""The check of the lesson on polling, custom actions and state machines: it reads what CodePipeline has kept.

AWS pages: "GetPipeline", "ListActionExecutions" in the CodePipeline API Reference.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.observe.executions import action_runs
from labkit.provision.pipeline import rule_name
from labkit.teach.result import Result, line


def reach(lab: Lab) -> Result:
    """A pipeline that is told of pushes, with an action of one's own and a state machine that decides."""

    @cache
    def runs() -> list[dict[str, Any]]:
        return action_runs(lab)

    def some(status: str, **kind: str) -> list[dict[str, Any]]:
        return [
            one
            for one in runs()
            if one["status"] == status and kind.items() <= one["input"]["actionTypeId"].items()
        ]

    def reason(run: dict[str, Any]) -> str:
        return str(run["output"]["executionResult"]["errorDetails"]["message"])

    def polls() -> str:
        declared = lab.client("codepipeline").get_pipeline(name=lab.pipeline)["pipeline"]
        source = declared["stages"][0]["actions"][0]["configuration"]
        return str(source.get("PollForSourceChanges", "true"))

    return Result(
        "reach",
        (
            line(
                "a rule tells the pipeline of pushes, and it does not ask as well",
                'pipeline.create_trigger(lab), and "PollForSourceChanges": "false"',
                lambda: (
                    lab.client("events").describe_rule(Name=rule_name(lab)) and polls() == "false"
                ),
            ),
            line(
                "a worker has done a job of your action type, and put what it found out",
                "put a result with outputVariables",
                lambda: any(
                    one["output"].get("outputVariables")
                    for one in some("Succeeded", owner="Custom")
                ),
            ),
            line(
                "a worker that could not do its job has said why",
                "answer with PutJobFailureResult where the work raises an error",
                lambda: any("sources" in reason(one) for one in some("Failed", owner="Custom")),
            ),
            line(
                "a state machine has stopped a release that was too heavy",
                "release the picture",
                lambda: any(
                    "TooHeavy" in reason(one) for one in some("Failed", provider="StepFunctions")
                ),
            ),
            line(
                "and the last release went all the way",
                "release without the picture",
                lambda: (
                    observe.snapshot(lab, observe.latest_execution(lab) or "").status == "Succeeded"
                ),
            ),
        ),
    )
