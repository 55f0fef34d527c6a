"""Webhooks: a git provider's deliveries start builds.

`payloadUrl` and `secret` are what AWS registers with the provider; here whoever has both delivers.
AWS pages: "GitHub webhook events"; "CreateWebhook" in the CodeBuild API Reference.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from labkit.cloud.codebuild.api.base import Answer, Operations
from labkit.cloud.codebuild.backend import CodeBuildBackend
from labkit.cloud.codebuild.batch import engine
from labkit.cloud.codebuild.declaration import invalid
from labkit.cloud.codebuild.models import Project, Webhook, now
from labkit.cloud.codebuild.starting import overridden, start
from labkit.cloud.codebuild.webhooks import filters, payloads
from labkit.cloud.shared import deliveries, runtime
from labkit.cloud.shared.deliveries import Delivery, Refused
from labkit.cloud.shared.service import AWSError

_PROVIDERS = ("GITHUB", "GITHUB_ENTERPRISE")
_REMEMBERED = 1000  # deliveries, so that one that comes twice starts one build
_MOST_GROUPS = 5


class Webhooks(Operations):
    def create_webhook(self, projectName: str, **declared: Any) -> Answer:
        project = self.backend.project(projectName)
        if project.webhook is not None:
            raise AWSError(
                "ResourceAlreadyExistsException", f"A webhook already exists for {project.arn}"
            )
        if project.declared["source"]["type"] not in _PROVIDERS:
            invalid(
                "The lab's local AWS supports webhooks of source types "
                f"{' and '.join(_PROVIDERS)} only; {project.name} has {project.declared['source']['type']}"
            )
        for name in ("scopeConfiguration", "manualCreation"):
            if declared.get(name):
                invalid(f"The lab's local AWS does not support {name} yet")
        _check(declared)
        token = secrets.token_urlsafe(24)
        path = deliveries.open_path(token, _handler(self.backend, project))
        project.webhook = Webhook(
            declared, runtime.current().endpoint_url + path, secrets.token_hex(32)
        )
        return {"webhook": {**_shown(project), "secret": project.webhook.secret}}

    def update_webhook(
        self, projectName: str, rotateSecret: bool = False, **changes: Any
    ) -> Answer:
        project = self.backend.project(projectName)
        webhook = _of(project)
        declared = {**webhook.declared, **changes}
        # each of the two takes the other's place
        for given, other in (("filterGroups", "branchFilter"), ("branchFilter", "filterGroups")):
            if given in changes and other not in changes:
                declared.pop(other, None)
        _check(declared)
        webhook.declared = declared
        if rotateSecret:
            webhook.secret, webhook.secret_changed = secrets.token_hex(32), now()
        shown = _shown(project)
        return {"webhook": {**shown, "secret": webhook.secret} if rotateSecret else shown}

    def delete_webhook(self, projectName: str) -> Answer:
        project = self.backend.project(projectName)
        deliveries.close_path(_of(project).payload_url.rpartition("/")[2])
        project.webhook = None
        return {}


def _of(project: Project) -> Webhook:
    if project.webhook is None:
        raise AWSError("ResourceNotFoundException", f"Webhook cannot be found for {project.arn}")
    return project.webhook


def _shown(project: Project) -> Answer:
    return _of(project).fields(project.declared["source"]["location"])


def _check(declared: Answer) -> None:
    groups, branch = declared.get("filterGroups") or [], declared.get("branchFilter")
    if groups and branch:
        invalid("branchFilter and filterGroups cannot be used together")
    if len(groups) > _MOST_GROUPS:
        invalid(f"A webhook has at most {_MOST_GROUPS} filter groups")
    try:
        filters.check(groups)
        re.compile(branch or "")
    except filters.FilterError as error:
        invalid(str(error))
    except re.error as error:
        invalid(f"Invalid pattern {branch}: {error}")
    if declared.get("buildType") not in (None, "BUILD", "BUILD_BATCH"):
        invalid(f"The lab's local AWS does not support buildType {declared['buildType']}")


def _handler(backend: CodeBuildBackend, project: Project) -> deliveries.Handler:
    seen: dict[str, Answer] = {}

    def handle(delivery: Delivery) -> Answer:
        webhook = project.webhook
        if webhook is None:
            raise Refused(404, "the webhook was deleted")
        delivery.check_signature(webhook.secret)
        if delivery.id and delivery.id in seen:
            return seen[delivery.id]
        answer = _react(backend, project, webhook, delivery)
        seen[delivery.id] = answer
        while len(seen) > _REMEMBERED:
            seen.pop(next(iter(seen)))
        return answer

    return handle


def _react(
    backend: CodeBuildBackend, project: Project, webhook: Webhook, delivery: Delivery
) -> Answer:
    """Start a build, or say why there is none."""
    if delivery.event == "ping":
        return {"message": "pong"}
    hook = payloads.read(delivery)
    groups = webhook.declared.get("filterGroups") or []
    if not filters.passes(hook, groups, webhook.declared.get("branchFilter")):
        return {"message": "No build: the event does not pass the webhook's filters"}
    settings = overridden(project.declared, {})
    initiator = f"GitHub-Hookshot/{delivery.id[:7] or 'delivery'}"
    try:
        if webhook.declared.get("buildType") == "BUILD_BATCH":
            batch = engine.start(backend, project, settings, hook.version, initiator)
            return {"message": "Batch started", "buildBatch": batch.id}
        build = start(backend, project, settings, hook.version, initiator, webhook=hook.variables)
    except AWSError as error:
        raise Refused(400, error.message) from error
    return {"message": "Build started", "build": build.id}
