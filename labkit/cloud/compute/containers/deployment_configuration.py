"""What a service says of its deployments: how many tasks at once, when one has failed, the grace period.

moto reads neither `deploymentConfiguration` nor `healthCheckGracePeriodSeconds`; they are read here,
kept with the service and obeyed.

AWS pages: "DeploymentConfiguration" and "CreateService" in the ECS API Reference; "How the Amazon ECS
deployment circuit breaker detects failures".
"""

from __future__ import annotations

import math
from typing import Any

from moto.core.responses import ActionResult
from moto.ecs.responses import EC2ContainerServiceResponse as Response

from labkit.cloud.shared.service import AWSError

_DEFAULT = {"maximumPercent": 200, "minimumHealthyPercent": 100}
_FEWEST_FAILURES, _MOST_FAILURES = 3, 200
BREAKER = "ECS deployment circuit breaker"


def start() -> None:
    """Have CreateService and UpdateService read it: called once, when the local AWS starts."""
    create, update = Response.create_service, Response.update_service

    def create_service(self: Any) -> ActionResult:
        given = _given(self)
        answer = create(self)
        _keep(self, self._get_param("serviceName"), given)
        return answer

    def update_service(self: Any) -> ActionResult:
        # before the deployment that is to obey it
        given = _given(self)
        _keep(self, self._get_param("service"), given)
        kept = _service(self, self._get_param("service")).deployment_configuration
        answer = update(self)
        # moto keeps what it was given alone
        _service(self, self._get_param("service")).deployment_configuration = kept
        return answer

    Response.create_service = create_service  # type: ignore[method-assign]
    Response.update_service = update_service  # type: ignore[method-assign]


def _given(response: Any) -> dict[str, Any]:
    """What the request says; refuses what would not be done."""
    given = response._get_param("deploymentConfiguration") or {}
    for name in ("alarms", "lifecycleHooks", "bakeTimeInMinutes"):
        value = given.get(name)
        if value and not (name == "alarms" and not value.get("enable")):
            raise _unsupported(f"deploymentConfiguration.{name}")
    if given.get("strategy") not in (None, "ROLLING"):
        raise _unsupported(f"the deployment strategy {given['strategy']}")
    return given


def _unsupported(what: str) -> AWSError:
    return AWSError(
        "UnsupportedFeatureException",
        f"The lab's local AWS does not have {what} (nothing was done)",
    )


def _keep(response: Any, name: str, given: dict[str, Any]) -> None:
    service = _service(response, name)
    known = getattr(service, "deployment_configuration", None)
    if known is None and service.deployment_controller["type"] == "ECS":
        off = {"enable": False, "rollback": False}
        known = {"deploymentCircuitBreaker": off, **_DEFAULT}
    service.deployment_configuration = {**(known or _DEFAULT), **given}
    grace = response._get_param("healthCheckGracePeriodSeconds")
    if grace is not None or service.load_balancers:
        service.health_check_grace_period_seconds = (
            grace_seconds(service) if grace is None else grace
        )


def _service(response: Any, name: str) -> Any:
    cluster = response._get_param("cluster") or "default"
    return response.ecs_backend._get_service(cluster.split("/")[-1], name.split("/")[-1])


def most(service: Any) -> float:
    """How many tasks the service may have at once."""
    if service.deployment_controller["type"] != "ECS":
        return math.inf
    wanted: int = service.desired_count * _of(service, "maximumPercent") // 100
    return wanted


def least(service: Any) -> int:
    """How many of its tasks have to be healthy while it is deployed to."""
    wanted: float = service.desired_count * _of(service, "minimumHealthyPercent") / 100
    return math.ceil(wanted)


def is_broken(service: Any, failed: int) -> bool:
    """Whether so many failed tasks make the circuit breaker end the deployment."""
    half = math.ceil(service.desired_count / 2)
    threshold = min(max(half, _FEWEST_FAILURES), _MOST_FAILURES)
    return bool(_breaker(service).get("enable")) and failed >= threshold


def goes_back(service: Any) -> bool:
    """Whether a deployment that failed is followed by the last one that completed."""
    return bool(_breaker(service).get("rollback"))


def grace_seconds(service: Any) -> int:
    """How long after a task has started the scheduler ignores that it is unhealthy."""
    return getattr(service, "health_check_grace_period_seconds", 0)


def _breaker(service: Any) -> dict[str, Any]:
    return _of(service, "deploymentCircuitBreaker") or {}


def _of(service: Any, name: str) -> Any:
    return getattr(service, "deployment_configuration", _DEFAULT).get(name, _DEFAULT.get(name))
