"""The routing table of all listeners of this lab, as plain data for the balancer's process.

An instance is reached at the port that it has in the lab (its tag `labkit:port`), whatever port the
target group says: hosts share one loopback address. An IP target is reached at its own port.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.elbv2.models import elbv2_backends

from labkit.cloud.compute import hosts
from labkit.cloud.shared import runtime

Table = dict[str, Any]
DAY = 86400


def table() -> Table:
    """`listeners` by ARN: port and rules; `groups` by ARN: targets, health check, algorithm."""
    listeners, groups = {}, {}
    for backend in _backends():
        for balancer in list(backend.load_balancers.values()):
            for listener in list(balancer.listeners.values()):
                listeners[listener.arn] = {
                    "balancer": _dimension(balancer.arn, "loadbalancer/"),
                    "port": listener.labkit_port,
                    "asked": int(listener.port),
                    "rules": [_rule(rule) for rule in _in_order(listener)],
                }
        for group in list(backend.target_groups.values()):
            groups[group.arn] = _group(group)
    used = set(_used(listeners))
    return {
        "listeners": listeners,
        "groups": {arn: {**one, "used": arn in used} for arn, one in groups.items()},
    }


def _backends() -> Iterator[Any]:
    for regions in list(elbv2_backends.values()):
        yield from list(regions.values())


def _in_order(listener: Any) -> list[Any]:
    def priority(rule: Any) -> float:
        return float("inf") if rule.is_default else int(rule.priority)

    return sorted(listener.rules.values(), key=priority)


def _rule(rule: Any) -> Table:
    # what was modified is in the listener's default actions and not in its default rule
    return {
        "conditions": rule.conditions or [],
        "actions": [_action(action.data) for action in rule.actions],
    }


def _action(data: Table) -> Table:
    """An action, and for how many seconds of the lab it binds a client to a target group."""
    seconds = group_seconds(data)
    if seconds is None:
        return data
    return {**data, "sticky": runtime.current().clock.wait_seconds(seconds)}


def _used(listeners: dict[str, Table]) -> Iterator[str]:
    for listener in listeners.values():
        for rule in listener["rules"]:
            for action in rule["actions"]:
                yield from (arn for arn, _ in forwards(action))


def forwards(action: Table) -> list[tuple[str, int]]:
    """The target groups of a forward action, each with its weight."""
    if action.get("Type") != "forward":
        return []
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups")
    if groups:
        return [(one["TargetGroupArn"], int(one.get("Weight", 1))) for one in groups]
    return [(action["TargetGroupArn"], 1)]


def is_on(attributes: Table) -> bool:
    """Whether a target group with these attributes binds a client to a target."""
    return str(attributes.get("stickiness.enabled")).lower() == "true"


def group_seconds(action: Table) -> float | None:
    """For how long a forward action binds a client to a target group, if it does."""
    config = (action.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
    if str(config.get("Enabled")).lower() != "true":
        return None
    return float(config.get("DurationSeconds") or 0)


def _group(group: Any) -> Table:
    clock = runtime.current().clock
    return {
        "name": _dimension(group.arn, ""),
        "algorithm": group.attributes.get("load_balancing.algorithm.type", "round_robin"),
        "sticky": _stickiness(group),
        "targets": {
            key: address
            for key, target in list(group.targets.items())
            if (address := _address(group, target))
        },
        "check": {
            "path": group.health_check_path or "/",
            "port": group.health_check_port,
            "codes": (group.matcher or {}).get("HttpCode") or "200",
            "interval": clock.wait_seconds(float(group.health_check_interval_seconds)),
            "timeout": float(group.health_check_timeout_seconds),
            "healthy": int(group.healthy_threshold_count),
            "unhealthy": int(group.unhealthy_threshold_count),
        },
    }


def _stickiness(group: Any) -> Table | None:
    """The cookie of the application, if it is that which binds, and the seconds it does; or None."""
    if not is_on(group.attributes):
        return None
    kind = group.attributes.get("stickiness.type", "lb_cookie")
    seconds = float(group.attributes.get(f"stickiness.{kind}.duration_seconds", DAY))
    named = group.attributes["stickiness.app_cookie.cookie_name"] if kind == "app_cookie" else ""
    return {"cookie": named, "seconds": runtime.current().clock.wait_seconds(seconds)}


def _address(group: Any, target: Table) -> tuple[str, int] | None:
    if group.target_type == "instance":
        host = hosts.find(target["Id"], group.region_name, group.account_id)
        return ("127.0.0.1", host.port) if host else None
    return target["Id"], int(target["Port"])


def _dimension(arn: str, prefix: str) -> str:
    """The end of an ARN, as CloudWatch's dimensions LoadBalancer and TargetGroup have it."""
    return arn.split(":")[-1].removeprefix(prefix)
