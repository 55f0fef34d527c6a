"""DescribeAlarms with all its filters; moto's knows one at a time, and no types of alarms.

AWS page: "DescribeAlarms" in the CloudWatch API Reference.
"""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.exceptions import ResourceNotFound, ValidationError
from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from labkit.cloud.monitoring import composites, history
from labkit.cloud.shared.service import page

_RELATIVES = ("ChildrenOfAlarmName", "ParentsOfAlarmName")
_PAGING = ("MaxRecords", "NextToken")


def start() -> None:
    """Stand in moto's place: called once, when the local AWS starts."""
    CloudWatchResponse.describe_alarms = _describe  # type: ignore[method-assign]


def _describe(self: CloudWatchResponse) -> ActionResult:
    given = {key: value for key, value in self._get_params().items() if value}
    related = [key for key in _RELATIVES if key in given]
    found: list[Any]
    if related:
        if set(given) - {related[0], *_PAGING}:
            raise ValidationError(f"{related[0]} cannot be given with other parameters")
        found = _relatives(self.cloudwatch_backend, related[0], given[related[0]])
    else:
        found = _matching(self.cloudwatch_backend, given)
    some, token = page(
        found, given.get("NextToken"), given.get("MaxRecords"), error_code="InvalidNextToken"
    )
    kinds: dict[str, list[Any]] = {"MetricAlarm": [], "CompositeAlarm": []}
    for kind, alarm in some:
        kinds[kind].append(alarm)
    shown = {f"{kind}s": alarms for kind, alarms in kinds.items()}
    return ActionResult({**shown, "NextToken": token})


def _matching(backend: CloudWatchBackend, given: dict[str, Any]) -> list[tuple[str, Alarm]]:
    types = given.get("AlarmTypes") or ["MetricAlarm"]

    def matches(alarm: Alarm) -> bool:
        actions = [*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_data_actions]
        return (
            history.kind(alarm) in types
            and alarm.name in given.get("AlarmNames", [alarm.name])
            and alarm.name.startswith(given.get("AlarmNamePrefix", ""))
            and given.get("StateValue") in (None, alarm.state_value)
            and any(one.startswith(given.get("ActionPrefix", "")) for one in actions or [""])
        )

    alarms = list(backend.alarms.values())
    return [(history.kind(alarm), alarm) for alarm in alarms if matches(alarm)]


def _relatives(
    backend: CloudWatchBackend, which: str, name: str
) -> list[tuple[str, dict[str, Any]]]:
    """What AWS tells of the alarms in a rule, or of those whose rule has the alarm."""
    alarm = backend.alarms.get(name)
    if alarm is None:
        raise ResourceNotFound
    if which == "ParentsOfAlarmName":
        above = composites.parents(backend, name)
        return [
            (history.kind(one), {"AlarmName": one.name, "AlarmArn": one.alarm_arn}) for one in above
        ]
    return [
        (
            history.kind(one),
            {
                "AlarmName": one.name,
                "AlarmArn": one.alarm_arn,
                "StateValue": one.state_value,
                "StateUpdatedTimestamp": one.state_updated_timestamp,
            },
        )
        for one in composites.children(backend, alarm)
    ]
