"""What moto's ELBv2 lacks: targets with several ports, real health, and a balancer that answers.

A listener gets a free loopback port, shown as its tag `labkit:port`; the load balancer's DNS name
is `localhost`. What the balancer cannot do is refused here.

AWS pages: "Target groups for your Application Load Balancers"; "DescribeTargetHealth" in the
Elastic Load Balancing API Reference.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from moto.ec2.models.instances import InstanceBackend
from moto.elbv2.exceptions import ELBClientError, InvalidTargetError, TargetNotRunning
from moto.elbv2.models import (
    ELBv2Backend,
    FakeHealthStatus,
    FakeListener,
    FakeLoadBalancer,
    FakeTargetGroup,
)

from labkit.cloud.compute import hosts
from labkit.cloud.compute.balancer import control, stickiness
from labkit.cloud.guests.processes import free_port
from labkit.cloud.shared import runtime, threads
from labkit.cloud.shared.service import named

PORT_TAG = "labkit:port"
HEALTH_METRIC_SECONDS = 60.0
_balancer = control.Control()

# what changes the routing table
_CHANGES = (
    "create_rule",
    "modify_rule",
    "delete_rule",
    "set_rule_priorities",
    "modify_target_group",
    "modify_target_group_attributes",
    "register_targets",
    "deregister_targets",
    "delete_target_group",
    "delete_listener",
    "delete_load_balancer",
    "notify_terminate_instances",
)
_STATES = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
    "unused": (
        "Target.NotInUse",
        "Target group is not configured to receive traffic from the load balancer",
    ),
}


def start() -> None:
    """Make moto's load balancers balance: called once, when the local AWS starts."""
    for name in _CHANGES:
        _then_apply(ELBv2Backend, name)
    for name in ("stop_instances", "start_instances", "terminate_instances"):
        _then_apply(InstanceBackend, name)
    stickiness.start()
    _refuse_what_is_not_here()
    _listen()
    FakeTargetGroup.register = _register  # type: ignore[method-assign]
    FakeTargetGroup.deregister = _deregister  # type: ignore[method-assign]
    FakeTargetGroup.deregister_terminated_instances = _forget  # type: ignore[method-assign]
    ELBv2Backend.describe_target_health = _describe_target_health  # type: ignore[method-assign]
    FakeLoadBalancer.dns_name = property(  # type: ignore[assignment]
        lambda self: "localhost", lambda self, name: None
    )
    threads.repeat(_count_hosts, name="balancer-health")


def _then_apply(owner: Any, name: str) -> None:
    real = getattr(owner, name)

    @wraps(real)
    def change(self: Any, *arguments: Any, **keywords: Any) -> Any:
        answer = real(self, *arguments, **keywords)
        _balancer.apply()
        return answer

    setattr(owner, name, change)


def _listen() -> None:
    """A listener has its port before it is in the table, and its default rule is what it says."""
    create, modify = ELBv2Backend.create_listener, ELBv2Backend.modify_listener
    init = FakeListener.__init__

    def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
        self.labkit_port = free_port()
        init(self, *arguments, **keywords)

    def create_listener(self: Any, *arguments: Any, **keywords: Any) -> Any:
        listener: Any = create(self, *arguments, **keywords)
        for _ in range(5):
            if listener.arn not in _balancer.apply():
                break
            listener.labkit_port = free_port()  # somebody was faster
        else:
            raise ELBClientError("ServiceUnavailable", "The lab found no port to listen on")
        tag = {"Key": PORT_TAG, "Value": str(listener.labkit_port)}
        self.add_tags([listener.arn], [tag])
        return listener

    def modify_listener(self: Any, *arguments: Any, **keywords: Any) -> Any:
        listener = modify(self, *arguments, **keywords)
        listener._default_rule[0].actions = listener.default_actions
        _balancer.apply()
        return listener

    FakeListener.__init__ = __init__  # type: ignore[method-assign]
    ELBv2Backend.create_listener = create_listener  # type: ignore[method-assign]
    ELBv2Backend.modify_listener = modify_listener  # type: ignore[method-assign]


# targets


def _key(group: Any, target: dict[str, Any]) -> str:
    return f"{target['Id']}:{target.get('Port') or group.port}"


def _register(self: Any, targets: list[dict[str, Any]]) -> None:
    for target in targets:
        if self.target_type == "instance":
            instance = self.ec2_backend.get_instance_by_id(target["Id"])
            if instance is None:
                raise ELBClientError(
                    "InvalidTarget", f"The instance ID '{target['Id']}' is not valid"
                )
            if instance.state != "running":
                raise TargetNotRunning(instance_id=target["Id"])
        elif not _is_loopback(target["Id"]):
            raise ELBClientError(
                "InvalidTarget",
                f"The lab's balancer reaches loopback addresses only, and not {target['Id']}",
            )
        key = _key(self, target)
        self.targets[key] = {"Id": target["Id"], "Port": int(target.get("Port") or self.port)}
        self.deregistered_targets.pop(key, None)


def _deregister(self: Any, targets: list[dict[str, Any]]) -> None:
    """A target of which no port is given is deregistered with all its ports."""
    for target in targets:
        given = {_key(self, target)} if target.get("Port") else set()
        keys = given or {key for key, one in self.targets.items() if one["Id"] == target["Id"]}
        if not keys & set(self.targets):
            raise InvalidTargetError()
        for key in keys & set(self.targets):
            gone = self.targets.pop(key)
            self.deregistered_targets[key] = {**gone, "since": time.monotonic()}


def _forget(self: Any, instance_ids: list[str]) -> None:
    for key, target in list(self.targets.items()):
        if target["Id"] in instance_ids:
            del self.targets[key]


def _describe_target_health(
    self: Any, target_group_arn: str, targets: list[dict[str, Any]]
) -> list[FakeHealthStatus]:
    group = self.describe_target_groups(
        load_balancer_arn=None, target_group_arns=[target_group_arn], names=None
    )[0]
    draining = {key: one for key, one in group.deregistered_targets.items() if _drains(group, one)}
    if not targets:
        known = {**group.targets, **draining}
        return [_health(group, key, one) for key, one in known.items()]
    found = []
    for target in targets:
        one = {"Id": target["Id"], "Port": int(target.get("Port") or group.port)}
        found.append(_health(group, _key(group, target), one))
    return found


def _health(group: Any, key: str, target: dict[str, Any]) -> FakeHealthStatus:
    state, reason, description = _state(group, key, target)
    return FakeHealthStatus(
        target["Id"],
        target["Port"],
        str(target["Port"])
        if group.health_check_port == "traffic-port"
        else group.health_check_port,
        state,
        reason or None,
        description or None,
    )


def _state(group: Any, key: str, target: dict[str, Any]) -> tuple[str, str, str]:
    gone = group.deregistered_targets.get(key)
    if key not in group.targets:
        if gone and _drains(group, gone):
            return "draining", *_STATES["draining"]
        told = "Target is not registered to the target group"
        return "unused", "Target.NotRegistered", told
    if group.target_type == "instance" and not hosts.find(
        target["Id"], group.region_name, group.account_id
    ):
        return "unused", "Target.InvalidState", "Target is in the stopped state"
    if not _balancer.is_used(group.arn):
        return "unused", *_STATES["unused"]
    known = _balancer.health(group.arn, key)
    return known or ("initial", *_STATES["initial"])


def _drains(group: Any, target: dict[str, Any]) -> bool:
    """A target is shown as draining until the deregistration delay is over."""
    delay = float(group.attributes.get("deregistration_delay.timeout_seconds", 300))
    return bool(time.monotonic() < target["since"] + runtime.current().clock.wait_seconds(delay))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


# what is not here


def _refuse_what_is_not_here() -> None:
    def refuse(name: str, fault: Callable[[dict[str, Any]], str]) -> None:
        real = getattr(ELBv2Backend, name)

        @wraps(real)
        def checked(self: Any, *arguments: Any, **keywords: Any) -> Any:
            if told := fault(named(real, self, *arguments, **keywords)):
                raise ELBClientError(
                    "InvalidConfigurationRequest", f"The lab's balancer does not have {told}"
                )
            return real(self, *arguments, **keywords)

        setattr(ELBv2Backend, name, checked)

    refuse("create_load_balancer", _balancer_fault)
    refuse("create_target_group", _group_fault)
    refuse("create_listener", _listener_fault)
    refuse("modify_listener", _listener_fault)
    refuse("create_rule", _actions_fault)
    refuse("modify_rule", _actions_fault)
    refuse("modify_target_group_attributes", _attributes_fault)


def _balancer_fault(given: dict[str, Any]) -> str:
    kind = given.get("loadbalancer_type") or "application"
    return "" if kind == "application" else f"load balancers of type {kind}"


def _group_fault(given: dict[str, Any]) -> str:
    kind, protocol = given.get("target_type") or "instance", given.get("protocol") or "HTTP"
    if kind not in ("instance", "ip"):
        return f"targets of type {kind}"
    return "" if protocol == "HTTP" else f"target groups of protocol {protocol}"


def _listener_fault(given: dict[str, Any]) -> str:
    protocol = given.get("protocol") or "HTTP"
    return _actions_fault(given) if protocol == "HTTP" else f"listeners of protocol {protocol}"


def _actions_fault(given: dict[str, Any]) -> str:
    kinds = {one.get("Type") for one in given.get("actions") or []}
    missing = sorted(kinds - {"forward", "fixed-response", "redirect"})
    return f"actions of type {missing[0]}" if missing else ""


def _attributes_fault(given: dict[str, Any]) -> str:
    wanted = given.get("attributes") or {}
    algorithm = wanted.get("load_balancing.algorithm.type", "round_robin")
    if algorithm not in ("round_robin", "least_outstanding_requests"):
        return f"the algorithm {algorithm}"
    return "a slow start" if int(wanted.get("slow_start.duration_seconds") or 0) else ""


def _count_hosts() -> None:
    time.sleep(max(runtime.current().clock.wait_seconds(HEALTH_METRIC_SECONDS), 0.2))
    control.publish_health(_balancer)
