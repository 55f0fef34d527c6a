"""What a task state calls, as the state machine's role; and CodeBuild's builds, waited for.

AWS pages: "Service integration patterns in Step Functions"; "Call AWS CodeBuild with Step Functions".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from botocore import xform_name
from botocore.loaders import create_loader
from botocore.model import OperationModel, ServiceModel
from botocore.response import StreamingBody

from labkit.cloud.shared import clients

STATES = "states.amazonaws.com"


def client(region: str, service: str, state_credentials: Any = None) -> Any:
    """A boto3 client that acts as a state machine's role."""
    session = clients.assume_role(STATES, state_credentials.role_arn, "states", region)
    return (session if session.region == region else session.in_region(region)).client(service)


def start() -> None:
    """Add what moto's tasks lack: AWS's names of parameters and results, and the builds."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service,
        state_task_service_aws_sdk,
        state_task_service_unsupported,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import (
        ResourceCondition,
    )

    task, other = (
        state_task_service.StateTaskService,
        state_task_service_unsupported.StateTaskServiceUnsupported,
    )

    def parameters(
        self: Any,
        parameters: Any,
        boto_service_name: str | None = None,
        service_action_name: str | None = None,
    ) -> None:
        if shape := _operation(self, boto_service_name, service_action_name).input_shape:
            self._to_boto_request(parameters, shape)

    def response(
        self: Any,
        response: Any,
        boto_service_name: str | None = None,
        service_action_name: str | None = None,
    ) -> None:
        if shape := _operation(self, boto_service_name, service_action_name).output_shape:
            self._from_boto_response(response, shape)

    state_task_service_unsupported._SUPPORTED_INTEGRATION_PATTERNS.add(
        ResourceCondition.Sync  # type: ignore[arg-type]
    )
    state_task_service_aws_sdk._SERVICE_ERROR_NAMES.update(
        {name.lower(): name for name in ("CodeBuild", "CodeCommit", "CodeDeploy", "CodePipeline")}
    )
    task._from_boto_response_value = staticmethod(_value)  # type: ignore[method-assign,assignment]
    task._normalise_parameters = parameters  # type: ignore[method-assign]
    task._normalise_response = response  # type: ignore[method-assign]
    other._build_sync_resolver = _build  # type: ignore[method-assign]


def _value(value: Any) -> Any:
    """A result's value as Step Functions shows it: times as milliseconds."""
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    return value.read().decode() if isinstance(value, StreamingBody) else value


def _operation(task: Any, service: str | None, action: str | None) -> OperationModel:
    return _find_operation(
        service or task._get_boto_service_name(), action or task._get_boto_service_action()
    )


@cache
def _find_operation(service: str, action: str) -> OperationModel:
    model = ServiceModel(create_loader().load_service_model(service, "service-2"))
    names = {xform_name(name): name for name in model.operation_names}
    return model.operation_model(names[action])


def _build(
    self: Any,
    env: Any,
    resource_runtime_part: Any,
    normalised_parameters: Any,
    state_credentials: Any,
) -> Callable[[], Any]:
    """What says whether the build of `codebuild:startBuild.sync` has ended."""
    from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
    from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
        FailureEvent,
        FailureEventException,
    )
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
        StatesErrorName,
    )
    from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
        StatesErrorNameType,
    )
    from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
    from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

    codebuild = client(resource_runtime_part.region, "codebuild", state_credentials)
    build = env.stack.pop()["Build"]["Id"]

    def ended() -> Any:
        answer = codebuild.batch_get_builds(ids=[build])
        if not answer["builds"][0]["buildComplete"]:
            return None
        self._normalise_response(answer, service_action_name="batch_get_builds")
        found = {"Build": answer["Builds"][0]}
        if found["Build"]["BuildStatus"] == "SUCCEEDED":
            return found
        failed = StatesErrorNameType.StatesTaskFailed
        details: Any = TaskFailedEventDetails(
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
            error=failed.to_name(),
            cause=to_json_str(found),
        )
        raise FailureEventException(
            FailureEvent(
                env=env,
                error_name=StatesErrorName(typ=failed),
                event_type=HistoryEventType.TaskFailed,
                event_details=EventDetails(taskFailedEventDetails=details),  # type: ignore[typeddict-item]
            )
        )

    return ended
