"""What may be declared of a state machine: what moto's interpreter really runs, with a role that lets it.

AWS pages: "CreateStateMachine" and "StartExecution" in the Step Functions API Reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import wraps
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError
from moto.core.exceptions import AWSError as Fault
from moto.stepfunctions.parser import api
from moto.stepfunctions.parser.models import StepFunctionsParserBackend as Backend

from labkit.cloud.shared import clients
from labkit.cloud.shared.service import AWSError
from labkit.cloud.stepfunctions.tasks import STATES

_AWAITED = (
    ":codebuild:startBuild.sync",
    ":states:startExecution.sync",
    ":states:startExecution.sync:2",
)
_NOT_ASSUMED = (
    "Neither the global service principal states.amazonaws.com, nor the regional one is authorized "
    "to assume the provided role."
)


def start() -> None:
    """Check what is declared, before moto takes it."""
    create, begin, validate = (
        Backend.create_state_machine,
        Backend.start_execution,
        Backend._validate_definition,
    )

    @wraps(create)
    def create_state_machine(self: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            clients.assume_role(STATES, keywords["roleArn"], "states", self.region_name)
        except ClientError as error:
            raise AWSError("AccessDeniedException", _NOT_ASSUMED) from error
        return create(self, *arguments, **keywords)

    @wraps(begin)
    def start_execution(self: Any, arn: str, name: str | None = None, *more: Any) -> Any:
        return begin(self, arn, name or str(uuid4()), *more)

    def validate_definition(definition: str) -> None:
        try:
            for fault in _not_run(json.loads(definition)):
                raise AWSError("InvalidDefinition", f"The lab does not run {fault}")
            validate(definition)
        except (api.InvalidDefinition, ValueError) as error:
            raise AWSError("InvalidDefinition", str(error)) from error

    Backend.create_state_machine = create_state_machine  # type: ignore[method-assign]
    Backend.start_execution = start_execution  # type: ignore[method-assign,assignment]
    Backend._validate_definition = staticmethod(validate_definition)  # type: ignore[method-assign]
    for fault in vars(api).values():  # moto finds an error's code by the module it is defined in
        if isinstance(fault, type) and issubclass(fault, Fault):
            fault.__module__ = "moto.stepfunctions.exceptions"


def _not_run(part: Any) -> Iterator[str]:
    """What a definition, or a part of one, has that moto's interpreter would not really run."""
    if isinstance(part, list):
        for one in part:
            yield from _not_run(one)
    elif isinstance(part, dict):
        resource = str(part.get("Resource", ""))
        if ".sync" in resource and not resource.endswith(_AWAITED):
            yield resource
        if part.get("QueryLanguage") == "JSONata":
            yield "JSONata"
        for one in part.values():
            yield from _not_run(one)
