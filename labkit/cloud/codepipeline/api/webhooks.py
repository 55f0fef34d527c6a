"""Webhooks: put, list, delete, and what a third party would have to be asked.

AWS page: "PutWebhook".
"""

from __future__ import annotations

import secrets
from functools import partial

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.codepipeline import webhooks as rules
from labkit.cloud.codepipeline.api.base import Answer, Operations, check_tags, invalid, tag_map
from labkit.cloud.codepipeline.registry import Webhook
from labkit.cloud.shared import deliveries
from labkit.cloud.shared.service import AWSError, page

# AWS page: "Quotas in AWS CodePipeline"
MAX_WEBHOOKS = 300


class Webhooks(Operations):
    def put_webhook(self, webhook: Answer, tags: list[Answer] | None = None) -> Answer:
        pipeline = self.backend.get(webhook["targetPipeline"])
        known = self.registry.webhooks.get(webhook["name"])
        if known is None and len(self.registry.webhooks) >= MAX_WEBHOOKS:
            raise AWSError(
                "LimitExceededException",
                f"The account has reached the limit of {MAX_WEBHOOKS} webhooks in the Region",
            )
        check_tags(tags)
        rules.check_definition(webhook, pipeline)
        if known is not None:
            given = webhook["authenticationConfiguration"]
            if given.get("SecretToken") == catalogue.SECRET:
                kept = known.definition["authenticationConfiguration"]
                webhook = {**webhook, "authenticationConfiguration": {**given, **kept}}
            known.definition = webhook
            known.tags.update(tag_map(tags))
        else:
            token = secrets.token_urlsafe(24)
            known = Webhook(webhook, self.current_account, self.region, token, tags=tag_map(tags))
            self.registry.webhooks[webhook["name"]] = known
            deliveries.open_path(token, partial(rules.receive, known))
        self.registry.tags[known.arn] = known.tags
        return {"webhook": rules.shown(known)}

    def list_webhooks(self, NextToken: str | None = None, MaxResults: int | None = None) -> Answer:
        found = sorted(self.registry.webhooks.items())
        items, token = page(found, NextToken, MaxResults)
        return {"webhooks": [rules.shown(webhook) for _, webhook in items], "NextToken": token}

    def delete_webhook(self, name: str) -> Answer:
        webhook = self.registry.webhooks.pop(name, None)
        if webhook is not None:
            deliveries.close_path(webhook.token)
            self.registry.tags.pop(webhook.arn, None)
        return {}

    def register_webhook_with_third_party(self, webhookName: str | None = None) -> Answer:
        webhook = self._webhook(webhookName)
        invalid(
            "The lab's local AWS cannot register webhooks at GitHub, which could not reach it "
            f"(nothing was done). Have deliveries posted to {webhook.url}"
        )

    def deregister_webhook_with_third_party(self, webhookName: str | None = None) -> Answer:
        self._webhook(webhookName)  # none was ever registered, so there is nothing to remove
        return {}

    def _webhook(self, name: str | None) -> Webhook:
        if name not in self.registry.webhooks:
            raise AWSError("WebhookNotFoundException", f"The webhook '{name}' was not found")
        return self.registry.webhooks[name]
