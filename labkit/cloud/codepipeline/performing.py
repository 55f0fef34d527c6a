"""Runs one action, or one rule of a condition, in a thread of its own, and takes its result back.

AWS pages: "Action structure reference"; "ActionExecutionDetail" in the CodePipeline API Reference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud import bus
from labkit.cloud.codepipeline import events
from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.codepipeline.actions import providers
from labkit.cloud.codepipeline.models import ActionRun, Execution, Pipeline, now
from labkit.cloud.codepipeline.variables import resolve
from labkit.cloud.shared import threads

logger = logging.getLogger(__name__)
_DENIED = ("AccessDenied", "AccessDeniedException")


def start(
    pipeline: Pipeline, execution: Execution, run: ActionRun, settle: Callable[[], None]
) -> None:
    """Run it; `settle` is called under the pipeline's lock when it has ended."""
    threads.start(
        partial(_perform, pipeline, execution, run, settle),
        name=f"{pipeline.name}/{run.stage}/{run.name}",
        failed=partial(_break_off, pipeline, execution, run, settle),
    )


def set_status(pipeline: Pipeline, execution: Execution, run: ActionRun, status: str) -> None:
    """Show a run's new status; only actions have events."""
    run.status, run.updated, execution.updated = status, now(), now()
    run.token = None
    if is_rule(run):
        bus.changes.announce(pipeline.arn)
    else:
        events.action_changed(pipeline, execution, run)


def is_rule(run: ActionRun) -> bool:
    """Whether it is a rule of a condition."""
    return bool(run.declaration["actionTypeId"]["category"] == "Rule")


def _perform(
    pipeline: Pipeline, execution: Execution, run: ActionRun, settle: Callable[[], None]
) -> None:
    error: dict[str, str] | None = None
    try:
        view = Action(pipeline, execution, run, changed=lambda: bus.changes.announce(pipeline.arn))
        run.configuration = resolve(run.declaration.get("configuration") or {}, execution)
        names = [item["name"] for item in run.declaration.get("inputArtifacts") or []]
        run.inputs = [view.input(name) for name in names]
        outputs = run.declaration.get("outputArtifacts") or []
        run.outputs = [view.new_artifact(item["name"]) for item in outputs]
        providers.find(run.declaration["actionTypeId"])(view)
    except ActionFailed as failed:
        error = {"code": failed.code, "message": failed.message}
    except ClientError as refused:
        found = refused.response["Error"]
        code = "PermissionError" if found["Code"] in _DENIED else "ConfigurationError"
        error = {"code": code, "message": found.get("Message", str(refused))}
    except (BotoCoreError, OSError) as absent:
        logger.warning("%s/%s: %r", pipeline.name, run.name, absent)
        error = {"code": "SystemUnavailable", "message": repr(absent)}
    _finish(pipeline, execution, run, error, settle)


def _break_off(
    pipeline: Pipeline,
    execution: Execution,
    run: ActionRun,
    settle: Callable[[], None],
    broken: Exception,
) -> None:
    """Whatever breaks, the execution must end: an action that never answers holds its stage."""
    error = {"code": "InternalError", "message": repr(broken)}
    _finish(pipeline, execution, run, error, settle)


def _finish(
    pipeline: Pipeline,
    execution: Execution,
    run: ActionRun,
    error: dict[str, str] | None,
    settle: Callable[[], None],
) -> None:
    with pipeline.lock:
        if run.status != "InProgress":  # abandoned meanwhile: its result no longer counts
            return
        run.error = error
        if error is None:
            execution.artifacts.update({artifact.name: artifact for artifact in run.outputs})
            namespace = run.declaration.get("namespace")
            if namespace:
                execution.namespaces[namespace] = run.variables
            for revision in execution.revisions:
                if revision["actionName"] == run.name:
                    pipeline.revisions[run.stage, run.name] = revision
        else:
            run.outputs = []
        set_status(pipeline, execution, run, "Failed" if error else "Succeeded")
        settle()
