"""Step Functions: moto's interpreter of the Amazon States Language, on this lab's services.

Tasks act as the state machine's role, through the door (R4). Wait states and the intervals between
retries pass on the scaled clock; a time-out of a task, like the task, takes the time it takes (R5).

AWS pages: "Using Amazon States Language"; "Wait workflow state"; "Handling errors in Step Functions
workflows".
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions.parser.asl.utils import boto_client

from labkit.cloud.shared import runtime
from labkit.cloud.stepfunctions.tasks import client


def start() -> None:
    """Have moto execute state machines, for this lab: called once, before the first request."""
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    boto_client.boto_client_for = client  # moto's tasks import it by name, from here on
    from labkit.cloud.stepfunctions import executions, machines, tasks

    _scale_waits()
    _hear_what_came_early()
    for part in (tasks, machines, executions):
        part.start()


def _hear_what_came_early() -> None:
    """A task with heartbeats waits for the next one; what answered its token before ends it, too.

    Who gets the token may answer as soon as the call that carries it is made, before moto listens.
    """
    from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackEndpoint

    listen = CallbackEndpoint.setup_heartbeat_endpoint

    def listening(self: Any, heartbeat_seconds: int) -> Any:
        endpoint = listen(self, heartbeat_seconds)
        if self.get_outcome() is not None:
            endpoint.notify()  # type: ignore[no-untyped-call]
        return endpoint

    CallbackEndpoint.setup_heartbeat_endpoint = listening  # type: ignore[method-assign]


def _scale_waits() -> None:
    from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
    from moto.stepfunctions.parser.asl.component.state.wait.wait_function import (
        seconds,
        seconds_path,
        wait_function,
    )

    retrier_decl.time = SimpleNamespace(  # type: ignore[attr-defined, assignment]
        sleep=lambda wait: time.sleep(_scaled(wait))
    )
    wait_function.WaitFunction._wait_interval = _wait  # type: ignore[method-assign]
    for waiting in (seconds.Seconds, seconds.SecondsJSONata, seconds_path.SecondsPath):
        _scale(waiting)


def _scaled(seconds: float) -> float:
    return runtime.current().clock.wait_seconds(seconds)


def _scale(waiting: Any) -> None:
    real = waiting._get_wait_seconds
    waiting._get_wait_seconds = lambda self, env: _scaled(real(self, env))


def _wait(self: Any, env: Any, wait_seconds: float) -> None:
    """Wait, or until the execution is stopped; moto's own waits whole seconds only."""
    until = time.monotonic() + wait_seconds
    while env.is_running() and (left := until - time.monotonic()) > 0:
        env.program_state_event.wait(left)
