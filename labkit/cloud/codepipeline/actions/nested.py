"""Invoke action CodePipeline: starts another pipeline and waits for its execution's end.

AWS page: "CodePipeline invoke action reference".
"""

from __future__ import annotations

from labkit.cloud import bus
from labkit.cloud.codepipeline.action import Action, ActionFailed, parse_json
from labkit.cloud.codepipeline.models import TERMINAL

_LOOK_AGAIN_SECONDS = 30.0


def run(action: Action) -> None:
    """Start the pipeline; the action is as its execution ends."""
    given, api = action.configuration, action.client("codepipeline")
    name = given["PipelineName"]
    arn = f"arn:aws:codepipeline:{action.region}:{action.pipeline.account_id}:{name}"
    request = {
        key: parse_json(given[given_key], given_key, list)
        for key, given_key in (("variables", "Variables"), ("sourceRevisions", "SourceRevisions"))
        if given.get(given_key)
    }
    seen = bus.changes.count(arn)
    execution = api.start_pipeline_execution(name=name, **request)["pipelineExecutionId"]
    region = action.region
    console = f"https://{region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{name}"
    url = f"{console}/executions/{execution}/timeline?region={region}"
    action.report(external_id=execution, url=url)
    while action.run.status == "InProgress":
        shown = api.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)
        status = shown["pipelineExecution"]["status"]
        if status in TERMINAL:
            break
        seen = bus.changes.wait(arn, seen, _LOOK_AGAIN_SECONDS)
    else:
        return
    action.run.variables = {
        item["name"]: item["resolvedValue"]
        for item in shown["pipelineExecution"].get("variables", [])
    }
    if status != "Succeeded":
        raise ActionFailed("JobFailed", f"Pipeline execution {execution} of {name} ended {status}")
