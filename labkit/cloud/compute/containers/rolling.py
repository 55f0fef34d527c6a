"""Rolling deployments: new tasks take the place of old ones, or the circuit breaker ends it.

AWS pages: "Deploy Amazon ECS services by replacing tasks"; "How the Amazon ECS deployment circuit
breaker detects failures".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from labkit.cloud.compute.containers import deployment_configuration, events, fleets
from labkit.cloud.compute.containers.fleets import Fleet

BREAKER = "ECS deployment circuit breaker"


def reach(service: Any, shown: dict[str, Any], state: str, reason: str) -> None:
    """Have one of the service's deployments be in this state, and say so once."""
    if shown.get("rolloutState") != state:
        shown.update(rolloutState=state, rolloutStateReason=reason, updatedAt=datetime.now(UTC))
        events.announce_deployment(service, shown)


def advance(service: Any) -> None:
    """Complete the primary deployment, make room for its tasks, or end what it has replaced."""
    primary = next((one for one in service.deployments if one["status"] == "PRIMARY"), None)
    if primary is None:
        return
    mine = fleets.of(service)
    new = next((one for one in mine if one.id == primary["id"]), None)
    if new is not None and primary.get("rolloutState") == "IN_PROGRESS":
        if new.steady:
            _complete(service, primary)
        else:
            _roll(service, primary, new, mine)
    if primary.get("rolloutState") == "COMPLETED" and not service.task_sets:
        for one in mine:
            if one.id != primary["id"]:
                one.end()


def _complete(service: Any, shown: dict[str, Any]) -> None:
    told = shown.get("rolloutStateReason") or ""
    if not told.startswith(BREAKER):  # why it is the primary one again
        told = f"ECS deployment {shown['id']} completed."
    reach(service, shown, "COMPLETED", told)


def _roll(service: Any, primary: dict[str, Any], new: Fleet, mine: list[Fleet]) -> None:
    """Make room for the new tasks of a deployment, or end it when too many have failed."""
    if new.halted:
        _fail(service, primary, new)
    elif len(new.alive()) < new.wanted and new.room() <= 0:
        keep = max(deployment_configuration.least(service) - new.healthy(), 0)
        for one in mine:
            if one is not new:
                one.wanted = min(one.wanted, keep)


def _fail(service: Any, shown: dict[str, Any], fleet: Fleet) -> None:
    """The circuit breaker ends a deployment: no new tasks, or back to the one before it.

    AWS page: "How the Amazon ECS deployment circuit breaker detects failures".
    """
    reach(service, shown, "FAILED", f"{BREAKER}: tasks failed to start.")
    events.say(service, f"(deployment {shown['id']}) deployment failed: tasks failed to start.")
    completed = [one for one in service.deployments if one.get("rolloutState") == "COMPLETED"]
    ids = [one["id"] for one in completed[:1]]
    before = next((one for one in fleets.of(service) if one.id in ids), None)
    if before is None or not deployment_configuration.goes_back(service):
        return
    old = completed[0]
    events.say(service, f"rolling back to (deployment {old['id']}).")
    shown["status"], old["status"] = "ACTIVE", "PRIMARY"
    service.deployments.remove(old)
    service.deployments.insert(0, old)
    service.task_definition = old["taskDefinition"]
    fleet.end()
    before.wanted, before.steady = service.desired_count, False
    fleets.fleets.remove(before)  # the newest is the last
    fleets.fleets.append(before)
    reach(service, old, "IN_PROGRESS", f"{BREAKER}: rolling back to deploymentId {old['id']}.")
