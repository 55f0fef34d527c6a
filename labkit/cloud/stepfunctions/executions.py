"""Executions tell of their states, to EventBridge and to who waits; and show their output as JSON.

AWS pages: "Automating event delivery in Step Functions with EventBridge"; "DescribeExecution" in the
Step Functions API Reference.
"""

from __future__ import annotations

import json
from typing import Any

from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution

from labkit.cloud import bus


def start() -> None:
    """Listen to moto's executions."""
    begin, end = Execution.start, BaseExecutionWorkerCommunication.terminated
    stop = Execution.stop

    def started(self: Any) -> None:
        _tell(self, "RUNNING")
        begin(self)

    def terminated(self: Any) -> None:
        execution = self.execution
        env = execution.exec_worker.env
        if isinstance(env.program_state(), ProgramEnded):  # there before the state that shows it
            execution.output = env.states.get_input()
        end(self)
        _tell(execution, execution.status)

    def stopped(self: Any, stop_date: Any, error: Any, cause: Any) -> None:
        self.stop_date = stop_date  # StopExecution answers with it before the end
        stop(self, stop_date, error, cause)

    Execution.stop = stopped  # type: ignore[method-assign]
    Execution.start = started  # type: ignore[method-assign]
    Execution.output = property(_output, _set_output)
    BaseExecutionWorkerCommunication.terminated = terminated  # type: ignore[method-assign]


def _output(self: Any) -> Any:
    return self.__dict__.get("output")


def _set_output(self: Any, value: Any) -> None:
    """moto would show a string without its quotes."""
    self.__dict__["output"] = json.dumps(value) if isinstance(value, str) else value


def _tell(execution: Any, status: str) -> None:
    """Put the event of a new state, and wake who waits for the execution."""
    shown = execution.to_describe_output()
    output = execution.output if isinstance(execution.output, str) else shown.get("output")

    def moment(name: str) -> int | None:
        return int(shown[name].timestamp() * 1000) if shown.get(name) else None

    bus.publish(
        "aws.states",
        "Step Functions Execution Status Change",
        {
            **{key: shown.get(key) for key in ("executionArn", "stateMachineArn", "name", "input")},
            "status": status,
            "startDate": moment("startDate"),
            "stopDate": moment("stopDate"),
            "inputDetails": {"included": True},
            "output": output,
            **{key: shown.get(key) for key in ("error", "cause")},
        },
        account=execution.account_id,
        region=execution.region_name,
        resources=[execution.exec_arn],
    )
    bus.changes.announce(execution.exec_arn)
