"""Which of the services and actions that policies grant were asked for, and when last.

AWS pages: "GenerateServiceLastAccessedDetails", "GetServiceLastAccessedDetails" and
"GetServiceLastAccessedDetailsWithEntities" in the IAM API Reference; "Refine permissions in AWS using last
accessed information".
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from moto.core.responses import ActionResult
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse

from labkit.cloud.iam import documents, uses
from labkit.cloud.iam.api import sources
from labkit.cloud.iam.api.paging import listed
from labkit.cloud.iam.asked import reference, rows
from labkit.cloud.iam.statements import Policy, compiled
from labkit.cloud.iam.uses import Use
from labkit.cloud.shared.service import AWSError

Seen = Mapping[str, Mapping[str, Use]]  # by ARN of who asked, and by action

SERVICES, ACTIONS = "SERVICE_LEVEL", "ACTION_LEVEL"


@dataclass(frozen=True)
class Report:
    """What a job found, for one user, role, group or policy."""

    account_id: str
    granularity: str
    services: tuple[dict[str, Any], ...]
    entities: dict[str, list[dict[str, Any]]]  # by service
    started: datetime
    done: datetime = field(default_factory=lambda: datetime.now(UTC))

    def told(self) -> dict[str, Any]:
        return {
            "JobStatus": "COMPLETED",
            "JobCreationDate": self.started,
            "JobCompletionDate": self.done,
        }


_reports: dict[str, Report] = {}  # by the id of their job


def start() -> None:
    """Answer the operations, which moto does not."""
    IamResponse.generate_service_last_accessed_details = _generate  # type: ignore[attr-defined]
    IamResponse.get_service_last_accessed_details = _get  # type: ignore[attr-defined]
    IamResponse.get_service_last_accessed_details_with_entities = _with_entities  # type: ignore[attr-defined]


def _generate(self: IamResponse) -> ActionResult:
    started, granularity = datetime.now(UTC), self.params.get("Granularity") or SERVICES
    policies, who = _subject(self.backend, self.params["Arn"])
    seen = {one.arn: uses.of(one.id) for one in who}
    granted = _granted(policies)
    services = []
    for namespace in granted:
        found = _service(namespace, seen)
        if granularity == ACTIONS and namespace in _tracked():
            found["TrackedActionsLastAccessed"] = list(_actions(namespace, policies, seen))
        services.append(found)
    entities = {
        namespace: [_described(one, _latest(namespace, seen[one.arn])) for one in who]
        for namespace in granted
    }
    job = str(uuid4())
    _reports[job] = Report(self.current_account, granularity, tuple(services), entities, started)
    return ActionResult({"JobId": job})


def _get(self: IamResponse) -> ActionResult:
    report = _report(self)
    page = listed(report.services, "ServicesLastAccessed", self.params)
    return ActionResult({**report.told(), "JobType": report.granularity, **page})


def _with_entities(self: IamResponse) -> ActionResult:
    report, namespace = _report(self), self.params["ServiceNamespace"]
    if namespace not in report.entities:
        raise AWSError("NoSuchEntity", f"The report has no service {namespace}.")
    page = listed(report.entities[namespace], "EntityDetailsList", self.params)
    return ActionResult({**report.told(), **page})


def _report(self: IamResponse) -> Report:
    report = _reports.get(self.params["JobId"])
    if report is None or report.account_id != self.current_account:
        raise AWSError("NoSuchEntity", f"Job id {self.params['JobId']} not found.")
    return report


def _subject(backend: IAMBackend, arn: str) -> tuple[Sequence[Policy], list[Any]]:
    """The policies that a report is of, and the users and roles that have them."""
    kept = (backend.users, backend.roles, backend.groups)
    every: list[Any] = [one for each in kept for one in list(each.values())]
    if ":policy/" not in arn:
        entity = sources.entity(backend, arn)
        return entity.policies, list(_members(one for one in every if one.arn == arn))
    policy = backend.managed_policies.get(arn)
    if policy is None:
        raise AWSError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.")
    holders = (one for one in every if arn in one.managed_policies)
    return [sources.managed(policy)], list(_members(holders))


def _members(holders: Iterable[Any]) -> Iterator[Any]:
    """Users and roles themselves, and who is in the groups, each once."""
    found: dict[str, Any] = {}
    for one in holders:
        for member in one.users if hasattr(one, "users") else [one]:
            found.setdefault(member.arn, member)
    yield from found.values()


def _granted(policies: Iterable[Policy]) -> list[str]:
    """The namespaces of the services of which policies allow an action."""
    found: set[str] = set()
    for policy in policies:
        for statement in documents.statements(json.loads(policy.text)):
            if statement["Effect"] != "Allow":
                continue
            names = statement.get("Action", "*")  # NotAction grants all the other services
            for name in names if isinstance(names, list) else [names]:
                vendor = name.partition(":")[0].lower()
                found |= reference.services() if vendor == "*" else {vendor}
    return sorted(found & reference.services())


def _service(namespace: str, seen: Seen) -> dict[str, Any]:
    last = {arn: use for arn, known in seen.items() if (use := _latest(namespace, known))}
    told: dict[str, Any] = {
        "ServiceName": reference.service_name(namespace),
        "ServiceNamespace": namespace,
        "TotalAuthenticatedEntities": len(last),
    }
    if last:
        arn = max(last, key=lambda one: last[one].at)
        told |= {
            "LastAuthenticated": last[arn].at,
            "LastAuthenticatedEntity": arn,
            "LastAuthenticatedRegion": last[arn].region,
        }
    return told


def _actions(namespace: str, policies: Iterable[Policy], seen: Seen) -> Iterator[dict[str, Any]]:  # fmt: skip
    allows = [statement for policy in policies for statement in compiled(policy.text).allows]
    for name in reference.actions(namespace):
        action = f"{namespace}:{name}"
        if name in _untracked().get(namespace, ()) or not any(
            statement.actions(action.lower()) for statement in allows
        ):
            continue
        last = {arn: known[action] for arn, known in seen.items() if action in known}
        told: dict[str, Any] = {"ActionName": name}
        if last:
            arn = max(last, key=lambda one: last[one].at)
            told |= {
                "LastAccessedEntity": arn,
                "LastAccessedTime": last[arn].at,
                "LastAccessedRegion": last[arn].region,
            }
        yield told


def _latest(namespace: str, known: Mapping[str, Use]) -> Use | None:
    own = [use for action, use in known.items() if action.partition(":")[0] == namespace]
    return max(own, key=lambda use: use.at, default=None)


def _described(one: Any, last: Use | None) -> dict[str, Any]:
    kind = "USER" if ":user/" in one.arn else "ROLE"
    info = {"Arn": one.arn, "Name": one.name, "Type": kind, "Id": one.id, "Path": one.path}
    return {"EntityInfo": info, **({"LastAuthenticated": last.at} if last else {})}


@cache
def _untracked() -> dict[str, list[str]]:
    return tomllib.loads(Path(__file__).with_name("untracked.toml").read_text())


@cache
def _tracked() -> frozenset[str]:
    """The namespaces that the lab has: of others there is nothing to tell but that nobody asked."""
    return frozenset(rows.of(path.stem).prefix for path in rows.tables())
