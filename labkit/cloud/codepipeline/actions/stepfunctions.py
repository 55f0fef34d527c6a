"""Invoke action StepFunctions: starts an execution of a state machine and waits for its end.

What the execution puts out is the output artifact, if there is one: a zip with `output.json`, a name
that AWS's page leaves open. AWS page: "AWS Step Functions invoke action reference".
"""

from __future__ import annotations

from labkit.cloud import bus
from labkit.cloud.codepipeline.action import Action, ActionFailed, parse_json

_LOOK_AGAIN_SECONDS = 30.0


def run(action: Action) -> None:
    """Start the state machine; the action is as its execution ends."""
    given, api = action.configuration, action.client("stepfunctions")
    machine = given["StateMachineArn"]
    parts = (given.get("ExecutionNamePrefix"), action.run.id)
    execution = api.start_execution(
        stateMachineArn=machine, name="-".join(filter(None, parts)), input=_input(action)
    )["executionArn"]
    region = action.region
    console = f"https://{region}.console.aws.amazon.com/states/home?region={region}"
    action.report(external_id=execution, url=f"{console}#/v2/executions/details/{execution}")
    action.run.variables = {"StateMachineArn": machine, "ExecutionArn": execution}
    seen = bus.changes.count(execution)
    while action.run.status == "InProgress":
        shown = api.describe_execution(executionArn=execution)
        if shown["status"] != "RUNNING":
            break
        seen = bus.changes.wait(execution, seen, _LOOK_AGAIN_SECONDS)
    else:
        return
    if shown["status"] != "SUCCEEDED":
        told = (shown["status"], shown.get("error"), shown.get("cause"))
        raise ActionFailed(
            "JobFailed", f"The execution {execution} ended {': '.join(filter(None, told))}"
        )
    action.put_output_file("output.json", shown["output"])


def _input(action: Action) -> str:
    given = action.configuration.get("Input") or ""
    if action.configuration.get("InputType", "Literal") == "Literal":
        text = given or "{}"
    elif not action.run.inputs:
        raise ActionFailed("ConfigurationError", "InputType FilePath needs an input artifact")
    else:
        try:
            text = action.read_input_file(action.run.inputs[0].name, given).decode()
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise ActionFailed("ConfigurationError", f"Input {given}: {error}") from error
    parse_json(text, "Input", object)
    return text
