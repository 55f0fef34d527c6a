"""What an account keeps in a Region beside its pipelines: action types, jobs and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.base_backend import BackendDict, BaseBackend

if TYPE_CHECKING:
    from labkit.cloud.codepipeline.jobs import Job
    from labkit.cloud.codepipeline.webhooks import Webhook

TypeKey = tuple[str, str, str, str]  # category, owner, provider, version


class Registry(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.action_types: dict[TypeKey, dict[str, Any]] = {}  # custom ones, and updated ones
        self.tags: dict[str, dict[str, str]] = {}  # by ARN, of webhooks and custom action types
        self.jobs: dict[str, Job] = {}
        self.webhooks: dict[str, Webhook] = {}


registries = BackendDict(Registry, "codepipeline")
