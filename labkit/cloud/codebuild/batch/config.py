"""A project's `buildBatchConfig`: what it may say, and which batches it allows.

AWS pages: "ProjectBuildBatchConfig" and "BatchRestrictions" in the CodeBuild API Reference.
"""

from __future__ import annotations

import re
from typing import Any

from moto.core.utils import get_service_model

from labkit.cloud.codebuild.batch.spec import Task
from labkit.cloud.codebuild.models import PhaseFailed
from labkit.cloud.shared.service import AWSError

Config = dict[str, Any]
DEFAULT_TIMEOUT = 480  # minutes
MOST_BUILDS = 100
_TIMEOUTS = range(5, 2161)


def check(config: Config) -> None:
    """Refuse a configuration that AWS would refuse, or that the lab does not have.

    Raises:
        AWSError: InvalidInputException.
    """
    role = config.get("serviceRole")
    if role is not None and not re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", role):
        _invalid(f"Invalid batch service role: {role} is not the ARN of a role")
    minutes = config.get("timeoutInMins")
    if minutes is not None and minutes not in _TIMEOUTS:
        _invalid(f"Invalid batch timeout: {minutes} is not from 5 to 2160 minutes")
    restrictions = config.get("restrictions") or {}
    most = restrictions.get("maximumBuildsAllowed")
    if most is not None and not 1 <= most <= MOST_BUILDS:
        _invalid(f"Invalid batch restrictions: maximumBuildsAllowed {most} is not from 1 to 100")
    for name in restrictions.get("computeTypesAllowed") or []:
        if name not in compute_types():
            _invalid(f"Invalid batch restrictions: {name} is not a compute type")
    if restrictions.get("fleetsAllowed"):
        _invalid("The lab's local AWS does not support fleetsAllowed")


def check_tasks(tasks: list[Task], config: Config, project_compute_type: str) -> None:
    """Refuse tasks that the configuration does not allow.

    Raises:
        PhaseFailed: CLIENT_ERROR.
    """
    restrictions = config.get("restrictions") or {}
    most = restrictions.get("maximumBuildsAllowed") or MOST_BUILDS
    if len(tasks) > most:
        raise PhaseFailed(
            "CLIENT_ERROR", f"the batch has {len(tasks)} builds; maximumBuildsAllowed is {most}"
        )
    allowed = restrictions.get("computeTypesAllowed")
    for task in tasks:
        name = task.environment.get("computeType", project_compute_type)
        if name not in compute_types():
            raise PhaseFailed("CLIENT_ERROR", f"invalid compute type of {task.identifier}: {name}")
        if allowed and name not in allowed:
            raise PhaseFailed(
                "CLIENT_ERROR",
                f"the compute type {name} of {task.identifier} is not one of computeTypesAllowed: "
                f"{', '.join(allowed)}",
            )


def compute_types() -> list[str]:
    types: list[str] = get_service_model("codebuild").shape_for("ComputeType").enum
    return types


def _invalid(message: str) -> None:
    raise AWSError("InvalidInputException", message)
