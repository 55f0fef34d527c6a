"""What CodeDeploy remembers: applications, deployment groups, configurations and deployments.

AWS page: "CodeDeploy primary components".
"""

from __future__ import annotations

import secrets
import string
import threading
import tomllib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from labkit.cloud.service import AWSError

Fields = dict[str, Any]
OVER = ("Succeeded", "Failed", "Stopped")
EVENTS = (
    "ApplicationStop",
    "DownloadBundle",
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
_ID = string.ascii_uppercase + string.digits


def now() -> datetime:
    return datetime.now(UTC)


def _deployment_id() -> str:
    return "d-" + "".join(secrets.choice(_ID) for _ in range(9))


@dataclass
class LifecycleEvent:
    """One lifecycle event on one target."""

    name: str
    status: str = "Pending"
    started: datetime | None = None
    ended: datetime | None = None
    diagnostics: Fields | None = None

    def fields(self) -> Fields:
        shown = {
            "lifecycleEventName": self.name,
            "diagnostics": self.diagnostics,
            "startTime": self.started,
            "endTime": self.ended,
            "status": self.status,
        }
        return {key: value for key, value in shown.items() if value is not None}


@dataclass
class Target:
    """One instance of one deployment."""

    instance_id: str
    arn: str
    status: str = "Pending"
    updated: datetime = field(default_factory=now)
    events: list[LifecycleEvent] = field(
        default_factory=lambda: [LifecycleEvent(name) for name in EVENTS]
    )

    def event(self, name: str) -> LifecycleEvent:
        return next(event for event in self.events if event.name == name)


@dataclass
class Deployment:
    """One deployment of one revision to one deployment group."""

    application: str
    group: str
    group_id: str
    config: str
    revision: Fields
    creator: str = "user"
    description: str | None = None
    ignore_stop_failures: bool = False
    file_exists_behavior: str = "DISALLOW"
    rollback_configuration: Fields | None = None
    update_outdated_only: bool = False
    id: str = field(default_factory=_deployment_id)
    status: str = "Created"
    created: datetime = field(default_factory=now)
    started: datetime | None = None
    completed: datetime | None = None
    previous_revision: Fields | None = None
    error: Fields | None = None
    rollback: Fields = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    stop_requested: bool = False
    stop_rolls_back: bool | None = None

    @property
    def over(self) -> bool:
        return self.status in OVER

    def overview(self) -> dict[str, int]:
        counts = dict.fromkeys(("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready"), 0)  # fmt: skip
        for target in self.targets.values():
            counts[target.status] = counts.get(target.status, 0) + 1
        return counts

    def fields(self) -> Fields:
        """The deployment as GetDeployment returns it."""
        shown: Fields = {
            "applicationName": self.application,
            "deploymentGroupName": self.group,
            "deploymentConfigName": self.config,
            "deploymentId": self.id,
            "previousRevision": self.previous_revision,
            "revision": self.revision,
            "status": self.status,
            "errorInformation": self.error,
            "createTime": self.created,
            "startTime": self.started,
            "completeTime": self.completed,
            "deploymentOverview": self.overview() if self.targets else None,
            "description": self.description,
            "creator": self.creator,
            "ignoreApplicationStopFailures": self.ignore_stop_failures,
            "autoRollbackConfiguration": self.rollback_configuration,
            "updateOutdatedInstancesOnly": self.update_outdated_only,
            "rollbackInfo": self.rollback or None,
            "deploymentStyle": {
                "deploymentType": "IN_PLACE",
                "deploymentOption": "WITHOUT_TRAFFIC_CONTROL",
            },
            "instanceTerminationWaitTimeStarted": False,
            "fileExistsBehavior": self.file_exists_behavior,
            "computePlatform": "Server",
        }
        return {key: value for key, value in shown.items() if value is not None}


@dataclass
class Group:
    """A deployment group: which instances, and how they are deployed to."""

    application: str
    declared: Fields
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    target_revision: Fields | None = None  # of the last deployment that succeeded
    last_success: str | None = None
    last_attempt: str | None = None
    health: dict[str, bool] = field(
        default_factory=dict
    )  # instance -> its last deployment succeeded
    revisions: dict[str, Fields] = field(default_factory=dict)  # instance -> what it runs
    active: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        return self.declared["deploymentGroupName"]

    @property
    def config(self) -> str:
        return self.declared.get("deploymentConfigName") or "CodeDeployDefault.OneAtATime"


@dataclass
class Application:
    """An application: its deployment groups and the revisions it has seen."""

    name: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=now)
    tags: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    revisions: list[Fields] = field(default_factory=list)

    def fields(self) -> Fields:
        return {
            "applicationId": self.id,
            "applicationName": self.name,
            "createTime": self.created,
            "linkedToGitHub": False,
            "computePlatform": "Server",
        }


@dataclass(frozen=True)
class Config:
    """A deployment configuration's minimum of healthy hosts."""

    name: str
    type: str
    value: int
    created: datetime = field(default_factory=now)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def minimum_healthy(self, hosts: int) -> int:
        """How many of `hosts` must stay healthy.

        AWS page: "Working with deployment configurations", minimum healthy hosts.
        """
        match self.type:
            case "MOST_CONCURRENCY":
                return max(hosts - self.value, 0)
            case "FLEET_PERCENT":
                return -(-hosts * self.value // 100)
            case _:
                return self.value

    def fields(self) -> Fields:
        return {
            "deploymentConfigId": self.id,
            "deploymentConfigName": self.name,
            "minimumHealthyHosts": {"type": self.type, "value": self.value},
            "createTime": self.created,
            "computePlatform": "Server",
        }


@cache
def predefined() -> dict[str, Config]:
    """AWS's own deployment configurations."""
    text = files("labkit.cloud.codedeploy").joinpath("configs.toml").read_text()
    return {row["name"]: Config(**row) for row in tomllib.loads(text)["config"]}


class CodeDeployBackend(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.applications: dict[str, Application] = {}
        self.deployments: dict[str, Deployment] = {}
        self.configs: dict[str, Config] = {}

    def application(self, name: str) -> Application:
        """Raises AWSError: ApplicationDoesNotExistException."""
        if name not in self.applications:
            raise AWSError(
                "ApplicationDoesNotExistException", f"No application found for name: {name}"
            )
        return self.applications[name]

    def group(self, application: str, name: str) -> Group:
        """Raises AWSError: DeploymentGroupDoesNotExistException."""
        groups = self.application(application).groups
        if name not in groups:
            raise AWSError(
                "DeploymentGroupDoesNotExistException",
                f"No Deployment Group found for name: {name}",
            )
        return groups[name]

    def config(self, name: str) -> Config:
        """Raises AWSError: DeploymentConfigDoesNotExistException."""
        found = predefined().get(name) or self.configs.get(name)
        if found is None:
            raise AWSError(
                "DeploymentConfigDoesNotExistException",
                f"No deployment configuration found for name: {name}",
            )
        return found

    def deployment(self, deployment_id: str) -> Deployment:
        """Raises AWSError: DeploymentDoesNotExistException."""
        if deployment_id not in self.deployments:
            raise AWSError(
                "DeploymentDoesNotExistException",
                f"The deployment {deployment_id} could not be found",
            )
        return self.deployments[deployment_id]


codedeploy_backends = BackendDict(CodeDeployBackend, "codedeploy")
