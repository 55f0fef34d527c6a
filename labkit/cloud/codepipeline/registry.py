"""What an account keeps in a Region beside its pipelines: action types, jobs and webhooks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from labkit.cloud.codepipeline.action import Action
from labkit.cloud.shared import deliveries, runtime

TypeKey = tuple[str, str, str, str]  # category, owner, provider, version


@dataclass
class Job:
    """One piece of work for a worker."""

    action: Action
    continuation_token: str | None = None
    status: str = "Queued"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    nonce: str = "1"
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    dispatched: float | None = None  # monotonic
    result: dict[str, Any] | None = None
    failure: dict[str, str] | None = None
    percent_complete: int | None = None

    @property
    def over(self) -> bool:
        return self.status in ("Succeeded", "Failed", "TimedOut")

    @property
    def type_id(self) -> dict[str, str]:
        type_id: dict[str, str] = self.action.declaration["actionTypeId"]
        return type_id


@dataclass
class Webhook:
    """One webhook of an account, and what its last delivery did."""

    definition: dict[str, Any]
    account_id: str
    region: str
    token: str
    last_triggered: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return webhook_arn(self.region, self.account_id, self.definition["name"])

    @property
    def url(self) -> str:
        return f"{runtime.current().endpoint_url}{deliveries.PATH}{self.token}"


def webhook_arn(region: str, account_id: str, name: str) -> str:
    """The ARN of the webhook of that name."""
    return f"arn:aws:codepipeline:{region}:{account_id}:webhook:{name}"


class Registry(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.action_types: dict[TypeKey, dict[str, Any]] = {}  # custom ones, and updated ones
        self.tags: dict[str, dict[str, str]] = {}  # by ARN, of webhooks and custom action types
        self.jobs: dict[str, Job] = {}
        self.webhooks: dict[str, Webhook] = {}


registries = BackendDict(Registry, "codepipeline")
