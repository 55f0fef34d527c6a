"""Composite alarms: their state is what their rule says of the states of other alarms.

One is evaluated when it is put and when an alarm in its rule changes its state; it has no clock of
its own. AWS pages: "PutCompositeAlarm", "DeleteAlarms" and "SetAlarmState" in the CloudWatch API
Reference; "Create a composite alarm"; "Alarm events and EventBridge".
"""

from __future__ import annotations

import json
import threading
from functools import wraps
from typing import Any

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import Alarm, CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult, EmptyResult

from labkit.cloud.monitoring import history, rules
from labkit.cloud.monitoring.metrics import utc
from labkit.cloud.monitoring.notices import stamp

lock = threading.RLock()  # of every alarm's state
_ACTIONS = ("sns", "lambda", "ssm", "aiops")
_path: list[str] = []  # the alarms whose change is being followed, each because of the one before


def start() -> None:
    """Add what moto lacks of composite alarms: called once, when the local AWS starts."""
    delete = CloudWatchBackend.delete_alarms

    @wraps(delete)
    def delete_alarms(self: CloudWatchBackend, alarm_names: list[str]) -> None:
        with lock:
            _check_deletion(self, alarm_names)
            gone = [self.alarms[name] for name in alarm_names if name in self.alarms]
            delete(self, alarm_names)
        for alarm in gone:
            noted(alarm, "Delete")

    CloudWatchBackend.delete_alarms = delete_alarms  # type: ignore[method-assign]
    CloudWatchResponse.put_composite_alarm = _put  # type: ignore[attr-defined]


def refuse(given: dict[str, Any], *names: str) -> None:
    """Raises ValidationError: naming a setting of an alarm that the lab does not have."""
    for name in names:
        if given.get(name) is not None:
            raise ValidationError(f"The lab's alarms do not have {name}")


def noted(alarm: Alarm, change: str) -> None:
    """Note in the history that an alarm was created (`Create`), updated or deleted."""
    done = {"Create": "created", "Update": "updated", "Delete": "deleted"}[change]
    what = {"alarmName": alarm.name, "alarmArn": alarm.alarm_arn, "alarmRule": alarm.rule}
    history.add(
        alarm,
        "ConfigurationUpdate",
        f'Alarm "{alarm.name}" {done}',
        {"type": change, f"{done}Alarm": {key: one for key, one in what.items() if one}},
    )


def follow(alarm: Alarm) -> None:
    """Evaluate the composite alarms that ask for an alarm whose state has just changed.

    Evaluation stops where it comes back to an alarm that it came from.
    """
    at = utc(alarm.state_updated_timestamp).strftime("%A %d %B, %Y %H:%M:%S UTC")
    reason = f"{alarm.alarm_arn} transitioned to {alarm.state_value} at {at}"
    _path.append(alarm.name)
    try:
        for parent in parents(history.backend_of(alarm), alarm.name):
            if parent.name not in _path:
                _evaluate(parent, reason, [alarm])
    finally:
        _path.pop()


def parents(backend: CloudWatchBackend, name: str) -> list[Alarm]:
    """The composite alarms whose rule asks for the alarm of this name."""
    return [
        alarm
        for alarm in list(backend.alarms.values())
        if alarm.rule is not None and name in rules.parse(alarm.rule).children
    ]


def children(backend: CloudWatchBackend, alarm: Alarm) -> list[Alarm]:
    """The alarms that a composite alarm's rule asks for."""
    names = rules.parse(alarm.rule or "FALSE").children
    return [backend.alarms[name] for name in names if name in backend.alarms]


def _evaluate(alarm: Alarm, reason: str, triggering: list[Alarm]) -> None:
    backend = history.backend_of(alarm)

    def state_of(name: str) -> str:
        return backend.alarms[name].state_value if name in backend.alarms else "INSUFFICIENT_DATA"

    now = "ALARM" if rules.parse(alarm.rule or "").holds(state_of) else "OK"
    if now == alarm.state_value:
        return
    told = [
        {
            "arn": one.alarm_arn,
            "state": {"value": one.state_value, "timestamp": stamp(one.state_updated_timestamp)},
        }
        for one in triggering
    ]
    alarm.update_state(reason.replace("{state}", now), json.dumps({"triggeringAlarms": told}), now)


def _put(self: CloudWatchResponse) -> ActionResult:
    given, backend = self._get_params(), self.cloudwatch_backend
    refuse(
        given,
        "ActionsSuppressor",
        "ActionsSuppressorWaitPeriod",
        "ActionsSuppressorExtensionPeriod",
        "ActionConfiguration",
    )
    with lock:
        _check(backend, given)
        known = backend.alarms.get(given["AlarmName"])
        alarm = _alarm(backend, given)
        if known is None:
            alarm.state_value = "INSUFFICIENT_DATA"
            if given.get("Tags"):
                backend.tagger.tag_resource(alarm.alarm_arn, given["Tags"])
        else:
            for name in ("value", "reason", "reason_data", "updated_timestamp"):
                setattr(alarm, f"state_{name}", getattr(known, f"state_{name}"))
        backend.alarms[alarm.name] = alarm
        noted(alarm, "Create" if known is None else "Update")
        what = "created" if known is None else "updated"
        reason = f"{alarm.alarm_arn} was {what} and its alarm rule evaluates to {{state}}"
        _evaluate(alarm, reason, children(backend, alarm))
    return EmptyResult()


def _check(backend: CloudWatchBackend, given: dict[str, Any]) -> None:
    text, name = given.get("AlarmRule") or "", given["AlarmName"]
    if text != text.strip() or not text:
        raise ValidationError(
            "AlarmRule must not contain leading or trailing whitespace or be null"
        )
    try:
        rule = rules.parse(text)
    except ValueError as error:
        raise ValidationError(f"The AlarmRule is not valid: {error}") from error
    missing = [one for one in rule.children if one not in backend.alarms and one != name]
    if missing:
        raise ValidationError(
            f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm "
            "rule do not exist"
        )
    known = backend.alarms.get(name)
    if known and known.rule is None:
        raise ValidationError(f"There is a metric alarm of the name {name}")
    for key in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        for arn in given.get(key) or []:
            if arn.split(":")[2:3] not in [[service] for service in _ACTIONS]:
                raise ValidationError(f"A composite alarm does not have the action {arn}")


def _check_deletion(backend: CloudWatchBackend, names: list[str]) -> None:
    found = [backend.alarms[name] for name in names if name in backend.alarms]
    if sum(alarm.rule is not None for alarm in found) > 1:
        raise ValidationError("Only one composite alarm can be deleted per request")
    for alarm in found:
        if [one for one in parents(backend, alarm.name) if one.name not in names]:
            raise ValidationError(
                f"Cannot delete {alarm.name} as there are composite alarms depending on it."
            )


def _alarm(backend: CloudWatchBackend, given: dict[str, Any]) -> Alarm:
    of_metrics = dict.fromkeys(
        (
            "namespace",
            "metric_name",
            "metric_data_queries",
            "comparison_operator",
            "evaluation_periods",
            "datapoints_to_alarm",
            "period",
            "threshold",
            "statistic",
            "extended_statistic",
            "unit",
            "treat_missing_data",
            "evaluate_low_sample_count_percentile",
            "threshold_metric_id",
        )
    )
    return Alarm(
        **of_metrics,  # type: ignore[arg-type]
        account_id=backend.account_id,
        region_name=backend.region_name,
        name=given["AlarmName"],
        description=given.get("AlarmDescription"),  # type: ignore[arg-type]
        dimensions=[],
        alarm_actions=given.get("AlarmActions") or [],
        ok_actions=given.get("OKActions"),
        insufficient_data_actions=given.get("InsufficientDataActions"),
        actions_enabled=given.get("ActionsEnabled", True),
        rule=given["AlarmRule"],
    )
