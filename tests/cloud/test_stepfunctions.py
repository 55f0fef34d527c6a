"""State machines execute: their tasks call this lab's services, as the state machine's role.

AWS pages: "Using Amazon States Language"; "Service integration patterns in Step Functions"; "Handling
errors in Step Functions workflows"; "Automating event delivery in Step Functions with EventBridge".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.cloud.functions import Functions
from tests.conftest import Aws
from tests.queues import create_queue
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

DOUBLE = """
exports.handler = async ({number}) => {
  if (number === undefined) throw new TypeError("no number");
  return {number: 2 * number};
}"""
State = dict[str, Any]


@dataclass
class Machines:
    aws: Aws
    role: str
    function: str

    @property
    def api(self) -> Any:
        return self.aws.client("stepfunctions")

    def make(self, *states: State, role: str | None = None, **more: Any) -> str:
        """A state machine of states that follow one another; its ARN."""
        named = {f"S{number}": dict(state) for number, state in enumerate(states)}
        for number, state in enumerate(named.values()):
            if state["Type"] not in ("Choice", "Fail", "Succeed"):
                state.update(
                    {"Next": f"S{number + 1}"} if number < len(named) - 1 else {"End": True}
                )
        definition = json.dumps({"StartAt": "S0", "States": named, **more})
        return self.api.create_state_machine(
            name=f"m-{uuid4().hex[:8]}", definition=definition, roleArn=role or self.role
        )["stateMachineArn"]

    def start(self, machine: str, given: Any = None) -> str:
        told = {"input": json.dumps(given)} if given is not None else {}
        return self.api.start_execution(stateMachineArn=machine, **told)["executionArn"]

    def run(self, *states: State, given: Any = None) -> dict[str, Any]:
        return self.wait(self.start(self.make(*states), given))

    def wait(self, execution: str) -> dict[str, Any]:
        shown: dict[str, Any] = eventually(
            lambda: self.api.describe_execution(executionArn=execution),
            enough=lambda shown: shown["status"] != "RUNNING",
        )
        return shown

    def task(self, **more: Any) -> State:
        """The function, called by the optimised integration."""
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": self.function, "Payload.$": "$"},
            "OutputPath": "$.Payload",
            **more,
        }


@pytest.fixture(scope="session")
def machines(aws: Aws) -> Machines:
    services = [f"{one}.amazonaws.com" for one in ("states", "lambda", "events", "codebuild")]
    role = create_role(aws, f"machine-{uuid4().hex[:8]}", *services)
    return Machines(aws, role, Functions(aws, role).make(DOUBLE))


def test_a_task_calls_a_function_and_its_output_is_the_executions(machines: Machines) -> None:
    shown = machines.run(machines.task(), machines.task(), given={"number": 3})
    assert (shown["status"], json.loads(shown["output"])) == ("SUCCEEDED", {"number": 12})
    history = machines.api.get_execution_history(executionArn=shown["executionArn"])["events"]
    kinds = [event["type"] for event in history]
    assert kinds[0] == "ExecutionStarted" and kinds[-1] == "ExecutionSucceeded"
    assert kinds.count("TaskSucceeded") == 2


def test_a_task_acts_as_the_state_machines_role(machines: Machines) -> None:
    who = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sts:getCallerIdentity"}
    told = json.loads(machines.run(who)["output"])
    assert told["Arn"].startswith("arn:aws:sts::123456789012:assumed-role/machine-")


def test_choices_maps_and_parallel_branches(machines: Machines) -> None:
    choice = {"Type": "Choice", "Choices": [{"Variable": "$.many", "IsPresent": True, "Next": "S1"}], "Default": "S2"}  # fmt: skip
    one = {"StartAt": "D", "States": {"D": {**machines.task(), "End": True}}}
    each = {"Type": "Map", "ItemsPath": "$.many", "ItemProcessor": one}
    both = {"Type": "Parallel", "Branches": [one, one]}
    machine = machines.make(choice, {**each}, both)
    definition = json.loads(machines.api.describe_state_machine(stateMachineArn=machine)["definition"])  # fmt: skip
    definition["States"]["S1"].pop("Next")
    definition["States"]["S1"]["End"] = True
    machines.api.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
    many = machines.wait(machines.start(machine, {"many": [{"number": 1}, {"number": 2}]}))
    assert json.loads(many["output"]) == [{"number": 2}, {"number": 4}]
    twice = machines.wait(machines.start(machine, {"number": 5}))
    assert json.loads(twice["output"]) == [{"number": 10}, {"number": 10}]


def test_an_error_of_the_function_fails_the_execution(machines: Machines) -> None:
    shown = machines.run(machines.task(), given={})
    assert (shown["status"], shown["error"]) == ("FAILED", "TypeError")
    assert json.loads(shown["cause"])["errorMessage"] == "no number"


def test_an_error_is_retried_and_then_caught(machines: Machines) -> None:
    retry = [{"ErrorEquals": ["TypeError"], "IntervalSeconds": 6, "MaxAttempts": 2}]
    task = machines.task(Retry=retry, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "S1"}])
    shown = machines.run(task, {"Type": "Pass", "Result": "caught"}, given={})
    assert (shown["status"], json.loads(shown["output"])) == ("SUCCEEDED", "caught")
    history = machines.api.get_execution_history(executionArn=shown["executionArn"])["events"]
    assert [event["type"] for event in history].count("TaskFailed") == 3


def test_a_wait_passes_on_the_scaled_clock(machines: Machines) -> None:
    shown = machines.run({"Type": "Wait", "Seconds": 30})
    assert 0.5 <= (shown["stopDate"] - shown["startDate"]).total_seconds() < 20


def test_an_execution_is_stopped_in_the_middle(machines: Machines) -> None:
    execution = machines.start(machines.make({"Type": "Wait", "Seconds": 3600}))
    assert machines.api.describe_execution(executionArn=execution)["status"] == "RUNNING"
    machines.api.stop_execution(executionArn=execution)
    assert machines.wait(execution)["status"] == "ABORTED"


def test_a_task_waits_for_its_token(machines: Machines) -> None:
    sqs = machines.aws.client("sqs")
    url = sqs.create_queue(QueueName=f"tokens-{uuid4().hex[:8]}")["QueueUrl"]
    given = {"QueueUrl": url, "MessageBody": {"token.$": "$$.Task.Token"}}
    asked = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Parameters": given}  # fmt: skip
    execution = machines.start(machines.make(asked))
    [message] = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    token = json.loads(message["Body"])["token"]
    machines.api.send_task_success(taskToken=token, output='{"approved": true}')
    assert json.loads(machines.wait(execution)["output"]) == {"approved": True}


def test_a_task_of_a_service_that_refuses_it_fails(machines: Machines) -> None:
    missing = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:codebuild:startBuild", "Parameters": {"ProjectName": "no-such"}}  # fmt: skip
    shown = machines.run(missing)
    assert (shown["status"], shown["error"]) == ("FAILED", "CodeBuild.ResourceNotFoundException")


def test_a_task_waits_for_a_build_and_is_as_the_build(machines: Machines) -> None:
    # "Call AWS CodeBuild with Step Functions"
    codebuild, name = machines.aws.client("codebuild"), f"states-{uuid4().hex[:8]}"
    codebuild.create_project(
        name=name, serviceRole=machines.role, artifacts={"type": "NO_ARTIFACTS"},
        source={"type": "NO_SOURCE", "buildspec": 'version: 0.2\nphases: {build: {commands: ["$DO"]}}'},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
    )  # fmt: skip

    def build(command: str) -> dict[str, Any]:
        told = {"ProjectName": name, "EnvironmentVariablesOverride": [{"Name": "DO", "Value": command}]}  # fmt: skip
        return machines.run({"Type": "Task", "Resource": "arn:aws:states:::codebuild:startBuild.sync", "Parameters": told})  # fmt: skip

    good, bad = build("true"), build("false")
    codebuild.delete_project(name=name)
    assert good["status"] == "SUCCEEDED", (good["error"], good["cause"])
    assert json.loads(good["output"])["Build"]["BuildStatus"] == "SUCCEEDED"
    assert (bad["status"], bad["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(bad["cause"])["Build"]["BuildStatus"] == "FAILED"


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "Parameters": {"TaskDefinition": "x"}}, "does not run arn:aws:states:::ecs:runTask.sync"),
        ({"Type": "Nothing"}, "Nothing"),
        ({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% 1 %}"}, "JSONata"),
    ],
)  # fmt: skip
def test_a_definition_that_cannot_run_is_refused(machines: Machines, state: State, says: str) -> None:  # fmt: skip
    with pytest.raises(ClientError, match=says) as refused:
        machines.make(state)
    assert refused.value.response["Error"]["Code"] == "InvalidDefinition"


def test_a_role_that_does_not_trust_step_functions(machines: Machines) -> None:
    role = create_role(machines.aws, f"other-{uuid4().hex[:8]}", "codebuild.amazonaws.com")
    with pytest.raises(ClientError, match=r"states\.amazonaws\.com") as refused:
        machines.make({"Type": "Pass"}, role=role)
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


def test_an_event_starts_an_execution_and_its_states_are_events(machines: Machines) -> None:
    events, sqs = machines.aws.client("events"), machines.aws.client("sqs")
    machine, name = machines.make({"Type": "Pass"}), f"states-{uuid4().hex[:8]}"
    url, arn = create_queue(machines.aws, name, "events.amazonaws.com")
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [machine]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    events.put_rule(Name=f"{name}-go", EventPattern=json.dumps({"source": [name]}))
    target = {"Id": "machine", "Arn": machine, "RoleArn": machines.role, "Input": '{"from": "a rule"}'}  # fmt: skip
    events.put_targets(Rule=f"{name}-go", Targets=[target])
    events.put_events(Entries=[{"Source": name, "DetailType": "go", "Detail": "{}"}])
    seen: dict[str, Any] = {}

    def told() -> bool:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            detail = json.loads(message["Body"])["detail"]
            seen[detail["status"]] = detail
        return "SUCCEEDED" in seen and "RUNNING" in seen

    eventually(told)
    assert seen["RUNNING"]["stopDate"] is None
    assert json.loads(seen["SUCCEEDED"]["output"]) == {"from": "a rule"}


def test_an_answer_before_the_first_heartbeat_is_heard() -> None:
    """In the process: who answers so early is rare, and the execution would wait for ever."""
    from moto.stepfunctions.parser.asl.eval.callback.callback import (
        CallbackEndpoint,
        CallbackOutcomeSuccess,
    )

    from labkit.cloud import stepfunctions

    with pytest.MonkeyPatch.context() as patch:
        heartbeats = CallbackEndpoint.setup_heartbeat_endpoint
        patch.setattr(CallbackEndpoint, "setup_heartbeat_endpoint", heartbeats)
        stepfunctions._hear_what_came_early()
        waiting = CallbackEndpoint("token")
        waiting.notify(CallbackOutcomeSuccess("token", "{}"))
        assert waiting.setup_heartbeat_endpoint(1).clear_and_wait()
