"""Event patterns and targets that the lab's EventBridge takes: what it could not do is refused.

AWS pages: "Comparison operators for use in event patterns in Amazon EventBridge"; "TestEventPattern" in
the Amazon EventBridge API Reference.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import wraps
from typing import Any

from moto.core.responses import ActionResult
from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPattern, EventPatternParser, EventsBackend
from moto.events.responses import EventsHandler

from labkit.cloud.shared.service import AWSError

_MATCH_TYPES = {
    "prefix",
    "suffix",
    "equals-ignore-case",
    "wildcard",
    "anything-but",
    "numeric",
    "exists",
    "cidr",
}
_REQUIRED = ("id", "account", "source", "time", "region", "resources", "detail-type")


def start(services: Collection[str]) -> None:
    """Make moto check patterns and targets: called once, when the local AWS starts.

    Args:
        services: those whose resources can be targets.
    """
    put_targets, validate = EventsBackend.put_targets, EventPatternParser._validate_event_pattern

    @wraps(put_targets)
    def checked(self: Any, name: str, event_bus_arn: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            if target["Arn"].split(":")[2:3] not in [[service] for service in services]:
                raise AWSError(
                    "ValidationException",
                    f"The lab's local AWS does not call the target {target['Arn']} (nothing was done).",
                )
        put_targets(self, name, event_bus_arn, targets)

    def validated(self: Any, pattern: Any) -> None:
        if not isinstance(pattern, dict):
            raise InvalidEventPatternException(reason="Filter is not an object")
        validate(self, pattern)
        _check_filters(pattern)

    EventsBackend.put_targets = checked  # type: ignore[method-assign]
    EventPatternParser._validate_event_pattern = validated  # type: ignore[method-assign]
    EventsHandler.test_event_pattern = _test_event_pattern  # type: ignore[method-assign,assignment]


def _check_filters(pattern: dict[str, Any]) -> None:
    for name, value in pattern.items():
        if isinstance(value, dict):
            _check_filters(value)
            continue
        for one in value:
            if name == "$or" and isinstance(one, dict):
                _check_filters(one)
            elif isinstance(one, list):
                reason = "Match value must be String, number, true, false, or null"
                raise InvalidEventPatternException(reason=reason)
            elif isinstance(one, dict):
                kind = next(iter(one), "")
                if len(one) != 1:
                    raise InvalidEventPatternException(
                        reason="Only one key allowed in match expression"
                    )
                if kind not in _MATCH_TYPES:
                    raise InvalidEventPatternException(reason=f"Unrecognized match type {kind}")


def _test_event_pattern(self: EventsHandler) -> ActionResult:
    pattern = EventPatternParser(self._get_param("EventPattern")).parse()
    try:
        event = json.loads(self._get_param("Event"))
    except ValueError as error:
        raise _invalid_event("it is not JSON") from error
    if not isinstance(event, dict):
        raise _invalid_event("it is not a JSON object")
    if missing := [name for name in _REQUIRED if name not in event]:
        raise _invalid_event(f"missing {', '.join(missing)}")
    return ActionResult({"Result": EventPattern(None, pattern).matches_event(event)})  # type: ignore[arg-type]


def _invalid_event(reason: str) -> AWSError:
    return AWSError("ValidationException", f"Parameter Event is not valid. Reason: {reason}.")
