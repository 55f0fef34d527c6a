"""Webhooks: a delivery that is authentic and passes every filter starts the target pipeline.

A webhook's URL is a path of the lab's own port; deliveries to it carry no AWS signature.

AWS pages: "PutWebhook"; "WebhookFilterRule"; "Use webhooks to start a pipeline (GitHub version 1
source actions)".
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import urllib.parse
from functools import lru_cache
from typing import Any

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline.models import Pipeline, codepipeline_backends, now
from labkit.cloud.codepipeline.registry import Webhook
from labkit.cloud.shared.deliveries import Delivery, Refused
from labkit.cloud.shared.service import AWSError

# authentication -> the one property of its configuration
PROPERTY = {"GITHUB_HMAC": "SecretToken", "IP": "AllowedIPRange", "UNAUTHENTICATED": None}
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def receive(webhook: Webhook, delivery: Delivery) -> dict[str, Any]:
    """Answer one delivery.

    Raises:
        Refused: it is not authentic, or no JSON.
    """
    try:
        _authenticate(webhook, delivery)
        payload = _payload(delivery)
    except Refused as refused:
        webhook.error_code, webhook.error_message = str(refused.status), refused.message
        raise
    pipeline = _pipeline(webhook)
    configuration = _configuration(webhook, pipeline)
    filters = webhook.definition["filters"]
    if pipeline is None or not all(passes(item, payload, configuration) for item in filters):
        return {"message": "the delivery does not pass the webhook's filters; nothing started"}
    trigger = {"triggerType": "Webhook", "triggerDetail": webhook.arn}
    try:
        execution = machine.start(pipeline, trigger)
    except AWSError as error:
        webhook.error_code, webhook.error_message = error.code, error.message
        return {"message": f"nothing started: {error.message}"}
    webhook.last_triggered, webhook.error_code, webhook.error_message = now(), None, None
    return {"pipelineExecutionId": execution.id}


def _authenticate(webhook: Webhook, delivery: Delivery) -> None:
    given = webhook.definition["authenticationConfiguration"]
    match webhook.definition["authentication"]:
        case "GITHUB_HMAC":
            check_signature(delivery, given["SecretToken"])
        case "IP":
            allowed = ipaddress.ip_network(given["AllowedIPRange"], strict=False)
            if ipaddress.ip_address(delivery.peer) not in allowed:
                raise Refused(403, f"{delivery.peer} is not in the webhook's AllowedIPRange")


def _pipeline(webhook: Webhook) -> Pipeline | None:
    backend = codepipeline_backends[webhook.account_id][webhook.region]
    return backend.pipelines.get(webhook.definition["targetPipeline"])


def _configuration(webhook: Webhook, pipeline: Pipeline | None) -> dict[str, str]:
    if pipeline is None:
        return {}
    action = source_action(pipeline, webhook.definition["targetAction"]) or {}
    return action.get("configuration") or {}


def source_action(pipeline: Pipeline, name: str) -> dict[str, Any] | None:
    """The pipeline's source action of that name, or None."""
    actions = pipeline.declaration["stages"][0]["actions"]
    return next((action for action in actions if action["name"] == name), None)


def check_signature(delivery: Delivery, secret: str) -> None:
    """Check GitHub's signature: the SHA-256 one, or the older SHA-1 one where that alone is sent.

    Raises:
        Refused: 403, it is missing or of another secret.

    Page: "Validating webhook deliveries" (GitHub Docs).
    """
    if "x-hub-signature-256" in delivery.headers or "x-hub-signature" not in delivery.headers:
        delivery.check_signature(secret)
        return
    wanted = "sha1=" + hmac.new(secret.encode(), delivery.body, "sha1").hexdigest()
    if not hmac.compare_digest(delivery.headers["x-hub-signature"].encode(), wanted.encode()):
        raise Refused(403, "X-Hub-Signature is not of this webhook's secret")


def _payload(delivery: Delivery) -> dict[str, Any]:
    if "form" not in delivery.headers.get("content-type", ""):
        return delivery.json()
    fields = urllib.parse.parse_qs(delivery.body.decode(errors="replace"))
    return Delivery(delivery.headers, fields.get("payload", [""])[0].encode()).json()


def passes(rule: dict[str, str], payload: dict[str, Any], configuration: dict[str, str]) -> bool:
    """Whether one of the values at the rule's path is what it has to equal.

    AWS page: "WebhookFilterRule".
    """
    found = [match.value for match in _path(rule["jsonPath"]).find(payload)]
    if "matchEquals" not in rule:
        return bool(found)
    wanted = _PLACEHOLDER.sub(
        lambda match: configuration.get(match.group(1), match.group(0)), rule["matchEquals"]
    )
    return any(_text(value) == wanted for value in found)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


@lru_cache(maxsize=256)
def _path(text: str) -> Any:
    return parse(text)


def check_definition(definition: dict[str, Any], pipeline: Pipeline) -> None:
    """Refuse a webhook that could never start its pipeline.

    Raises:
        AWSError: ValidationException, InvalidWebhookFilterPatternException,
            InvalidWebhookAuthenticationParametersException.
    """
    name = definition["targetAction"]
    if source_action(pipeline, name) is None:
        raise AWSError(
            "ValidationException",
            f"The target action '{name}' is not a source action of pipeline '{pipeline.name}'",
        )
    for rule in definition["filters"]:
        try:
            _path(rule["jsonPath"])
        except (JSONPathError, ValueError) as error:
            raise AWSError(
                "InvalidWebhookFilterPatternException",
                f"The JSON path '{rule['jsonPath']}' is not valid: {error}",
            ) from error
    _check_authentication(definition)


def _check_authentication(definition: dict[str, Any]) -> None:
    kind, given = definition["authentication"], definition["authenticationConfiguration"]
    needed = PROPERTY[kind]
    expected = {needed} if needed else set()
    if set(given) != expected:
        what = f"only the property {needed}" if needed else "no property"
        raise _authentication_error(f"For {kind}, {what} of authenticationConfiguration is set")
    if kind == "IP":
        try:
            ipaddress.ip_network(given["AllowedIPRange"], strict=False)
        except ValueError as error:
            raise _authentication_error(f"AllowedIPRange is not a CIDR range: {error}") from error


def _authentication_error(message: str) -> AWSError:
    return AWSError("InvalidWebhookAuthenticationParametersException", message)


def shown(webhook: Webhook) -> dict[str, Any]:
    """A webhook as ListWebhooks shows it; its secret is never shown."""
    definition = dict(webhook.definition)
    if "SecretToken" in definition["authenticationConfiguration"]:
        definition["authenticationConfiguration"] = {"SecretToken": catalogue.SECRET}
    item = {
        "definition": definition,
        "url": webhook.url,
        "arn": webhook.arn,
        "lastTriggered": webhook.last_triggered,
        "errorCode": webhook.error_code,
        "errorMessage": webhook.error_message,
        "tags": [{"key": key, "value": value} for key, value in webhook.tags.items()],
    }
    return {name: value for name, value in item.items() if value is not None}
