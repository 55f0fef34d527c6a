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

from labkit.cloud.shared.service import AWSError

Fields = dict[str, Any]
PLATFORMS = ("Server", "Lambda", "ECS")
_DEFAULT_CONFIGS = {
    "Server": "CodeDeployDefault.OneAtATime",
    "Lambda": "CodeDeployDefault.LambdaAllAtOnce",
    "ECS": "CodeDeployDefault.ECSAllAtOnce",
}
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
BLOCK = ("BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic")
ALLOW = ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic")
_ID = string.ascii_uppercase + string.digits


class DeploymentFailed(Exception):
    """A deployment that cannot go on, with its error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


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
    """One instance of one deployment, or the function that it shifts traffic of."""

    instance_id: str  # of a function: `name:alias`
    arn: str
    status: str = "Pending"
    updated: datetime = field(default_factory=now)
    events: list[LifecycleEvent] = field(
        default_factory=lambda: [LifecycleEvent(name) for name in EVENTS]
    )
    function: Fields | None = None  # lambdaFunctionInfo
    label: str | None = None  # instanceLabel: Blue or Green
    ecs: bool = False
    task_sets: list[Fields] = field(default_factory=list)  # taskSetsInfo

    def event(self, name: str) -> LifecycleEvent:
        return next(event for event in self.events if event.name == name)


@dataclass
class HookExecution:
    """One call of a lifecycle hook that is a function, and its answer."""

    event: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"


def style_of(platform: str) -> Fields:
    """The deployment style of a platform, where nothing else is declared."""
    if platform == "Server":
        return {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}
    return {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}


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
    platform: str = "Server"
    alarms: Fields | None = None  # overrideAlarmConfiguration
    alarm: str | None = None  # the one that stopped it
    hooks: dict[str, HookExecution] = field(default_factory=dict)  # of functions, by id
    changed: threading.Event = field(default_factory=threading.Event)  # a stop, or an answer
    style: Fields = field(default_factory=dict)
    # of a blue/green deployment
    green: Fields | None = None  # targetInstances
    copy: str | None = None  # the Auto Scaling group that was made for it
    rerouted: bool = False
    reroute: tuple[list[str], list[str]] | None = None  # a way back: original, replacement
    waiting_for: str | None = None  # READY_WAIT, TERMINATION_WAIT
    continued: set[str] = field(default_factory=set)
    timed_out: str | None = None
    termination_wait_started: bool = False
    # of an ECS service
    swap: Any = None  # containers.Swap
    back: bool = False
    weight: float = 0.0  # of the replacement's traffic, in percent
    load_balancer: Fields | None = None
    options: Fields | None = None  # blueGreenDeploymentConfiguration

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def stopping(self) -> bool:
        """Whether it was stopped, or an alarm has stopped it."""
        return self.stop_requested or self.alarm is not None

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
            "deploymentStyle": self.style or style_of(self.platform),
            "targetInstances": self.green,
            "instanceTerminationWaitTimeStarted": self.termination_wait_started,
            "blueGreenDeploymentConfiguration": self.options,
            "loadBalancerInfo": self.load_balancer,
            "fileExistsBehavior": self.file_exists_behavior,
            "overrideAlarmConfiguration": self.alarms,
            "computePlatform": self.platform,
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
    platform: str = "Server"
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.declared["deploymentGroupName"])

    @property
    def style(self) -> Fields:
        """deploymentStyle, whole."""
        return {**style_of(self.platform), **(self.declared.get("deploymentStyle") or {})}

    @property
    def is_blue_green(self) -> bool:
        return bool(self.style["deploymentType"] == "BLUE_GREEN")

    @property
    def config(self) -> str:
        return self.declared.get("deploymentConfigName") or _DEFAULT_CONFIGS[self.platform]


@dataclass
class Application:
    """An application: its deployment groups and the revisions it has seen."""

    name: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=now)
    tags: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    revisions: list[Fields] = field(default_factory=list)
    platform: str = "Server"

    def fields(self) -> Fields:
        return {
            "applicationId": self.id,
            "applicationName": self.name,
            "createTime": self.created,
            "linkedToGitHub": False,
            "computePlatform": self.platform,
        }


@dataclass(frozen=True)
class Config:
    """A deployment configuration: a minimum of healthy hosts, or how traffic is shifted.

    Args:
        type: of minimumHealthyHosts, or of trafficRoutingConfig.
        value: of hosts; or the percentage of traffic that one step shifts.
        interval: minutes between the steps.
    """

    name: str
    type: str
    value: int = 0
    interval: int = 0
    platform: str = "Server"
    created: datetime = field(default_factory=now)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    zonal: Fields | None = None  # zonalConfig

    def minimum_per_zone(self, hosts: int) -> int:
        """How many of one zone's `hosts` must stay healthy; none, unless it is said.

        AWS page: "Working with deployment configurations", zonal configuration.
        """
        wanted = (self.zonal or {}).get("minimumHealthyHostsPerZone") or {}
        value = int(wanted.get("value", 0))
        return -(-hosts * value // 100) if wanted.get("type") == "FLEET_PERCENT" else value

    def monitor_seconds(self, zone: int) -> float:
        """How long a deployment waits after its `zone`-th zone, counted from 0, in seconds."""
        given = self.zonal or {}
        first = given.get("firstZoneMonitorDurationInSeconds")
        usual = given.get("monitorDurationInSeconds") or 0
        return float(first if zone == 0 and first is not None else usual)

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

    def steps(self) -> list[tuple[int, int]]:
        """The percentage of traffic on the new version, and how many minutes it stays at it.

        AWS page: "Working with deployment configurations", traffic shifting.
        """
        match self.type:
            case "TimeBasedCanary":
                return [(self.value, self.interval), (100, 0)]
            case "TimeBasedLinear":
                shares = [*range(self.value, 100, self.value), 100]
                return [(share, self.interval if share < 100 else 0) for share in shares]
            case _:
                return [(100, 0)]

    def fields(self) -> Fields:
        common = {
            "deploymentConfigId": self.id,
            "deploymentConfigName": self.name,
            "createTime": self.created,
            "computePlatform": self.platform,
        }
        if self.platform == "Server":
            shown: Fields = {"minimumHealthyHosts": {"type": self.type, "value": self.value}}
            return {**common, **shown, **({"zonalConfig": self.zonal} if self.zonal else {})}
        routing: Fields = {"type": self.type}
        if self.type != "AllAtOnce":
            key = "timeBasedCanary" if self.type == "TimeBasedCanary" else "timeBasedLinear"
            prefix = "canary" if self.type == "TimeBasedCanary" else "linear"
            routing[key] = {
                f"{prefix}Percentage": self.value,
                f"{prefix}Interval": self.interval,
            }
        return {**common, "trafficRoutingConfig": routing}


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
        self.on_premises: dict[str, Any] = {}  # onpremises.OnPremisesInstance, by name

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
