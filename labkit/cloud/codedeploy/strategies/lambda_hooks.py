"""Lifecycle hooks that are functions: called with an execution id, and waited for their answer.

AWS page: "AppSpec 'hooks' section", for Amazon ECS and AWS Lambda deployments.
"""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from labkit.cloud.codedeploy.models import Deployment, DeploymentFailed, HookExecution
from labkit.cloud.codedeploy.strategies import watching
from labkit.cloud.shared.clients import Session

_ANSWER_MINUTES = 60.0


def ask(session: Session, deployment: Deployment, event: str, function: str) -> None:
    """Call a hook's function, and wait for what it puts as its status.

    Raises:
        DeploymentFailed: HOOK_EXECUTION_FAILURE; it cannot be called, says Failed, or nothing.
        watching.Stopped: the deployment was stopped meanwhile.
    """
    hook = HookExecution(event)
    deployment.hooks[hook.id] = hook
    payload = {"DeploymentId": deployment.id, "LifecycleEventHookExecutionId": hook.id}
    try:
        session.client("lambda").invoke(
            FunctionName=function, InvocationType="Event", Payload=json.dumps(payload)
        )
    except ClientError as error:
        raise _failed(f"The hook {event} could not be called: {error}") from error
    watching.wait_minutes(deployment, _ANSWER_MINUTES, lambda: hook.status != "Pending")
    if hook.status == "Pending":
        hook.status = "Failed"
        raise _failed(f"The hook {event} did not answer within one hour.")
    if hook.status != "Succeeded":
        raise _failed(f"The hook {event} answered {hook.status}.")


def _failed(message: str) -> DeploymentFailed:
    return DeploymentFailed("HOOK_EXECUTION_FAILURE", message)
