"""What an alarm does when its state changes: history, an event, and the actions of the new state.

AWS pages: "Alarm events and EventBridge"; "Notifying users on alarm changes".
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudwatch.models import Alarm

from labkit.cloud import bus
from labkit.cloud.monitoring import history
from labkit.cloud.monitoring.metrics import utc
from labkit.cloud.shared import clients, threads

logger = logging.getLogger(__name__)

CLOUDWATCH = "cloudwatch.amazonaws.com"


def state(alarm: Alarm) -> dict[str, str]:
    """An alarm's state, as events have it."""
    told = {
        "value": alarm.state_value,
        "reason": alarm.state_reason,
        "reasonData": alarm.state_reason_data,
        "timestamp": stamp(alarm.state_updated_timestamp),
    }
    return {key: value for key, value in told.items() if value is not None}


def stamp(moment: datetime) -> str:
    """A moment as CloudWatch's JSON has it: `2022-07-22T15:57:45.394+0000`."""
    return utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def tell(alarm: Alarm, before: dict[str, str]) -> None:
    """Say that the state of an alarm is no longer what it was `before`."""
    account, old = alarm.alarm_arn.split(":")[4], before["value"]
    logger.info("alarm %s: %s -> %s: %s", alarm.name, old, alarm.state_value, alarm.state_reason)
    history.add(
        alarm,
        "StateUpdate",
        f"Alarm updated from {old} to {alarm.state_value}",
        {"oldState": _kept(before), "newState": _kept(state(alarm))},
    )
    bus.publish(
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        {
            "alarmName": alarm.name,
            "state": state(alarm),
            "previousState": before,
            "configuration": _configuration(alarm),
        },
        account=account,
        region=alarm.region_name,
        resources=[alarm.alarm_arn],
    )
    bus.changes.announce(alarm.alarm_arn)
    actions = {
        "ALARM": alarm.alarm_actions,
        "OK": alarm.ok_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
    }[alarm.state_value]
    if alarm.actions_enabled and actions:
        message = json.dumps(_message(alarm, old, account))
        subject = f'{alarm.state_value}: "{alarm.name}" in {alarm.region_name}'
        act = partial(_act_all, alarm, actions, subject, message)
        threads.start(act, name=f"actions of {alarm.name}", failed=threads.logged)


def _kept(told: dict[str, str]) -> dict[str, Any]:
    """A state, as the history's data have it."""
    data = json.loads(told.get("reasonData") or "{}")
    kept: dict[str, Any] = {"stateValue": told["value"], "stateReason": told["reason"]}
    return {**kept, "stateReasonData": data} if data else kept


def _act_all(alarm: Alarm, actions: list[str], subject: str, message: str) -> None:
    for arn in actions:
        threads.attempt(
            partial(_act, alarm, arn, subject, message),
            name=f"action {arn} of {alarm.name}",
            failed=partial(_not_done, alarm, arn),
        )


def _not_done(alarm: Alarm, arn: str, error: Exception) -> None:
    _note(alarm, arn, repr(error))


def _act(alarm: Alarm, arn: str, subject: str, message: str) -> None:
    account_id, fault = alarm.alarm_arn.split(":")[4], None
    session = clients.as_service(CLOUDWATCH, alarm.region_name, account_id)
    try:
        with clients.on_behalf_of(alarm.alarm_arn):
            match arn.split(":")[2]:
                case "sns":
                    sns = session.client("sns")
                    sns.publish(TopicArn=arn, Subject=subject[:100], Message=message)
                case "lambda":
                    session.client("lambda").invoke(
                        FunctionName=arn, InvocationType="Event", Payload=message
                    )
                case service:
                    fault = f"the lab has no action of {service}"
    except (ClientError, BotoCoreError) as error:
        fault = str(error)
    _note(alarm, arn, fault)


def _note(alarm: Alarm, arn: str, fault: str | None) -> None:
    """Keep what became of an action in the alarm's history."""
    if fault:
        logger.error("alarm %s: action %s: %s", alarm.name, arn, fault)
    history.add(
        alarm,
        "Action",
        f"Failed to execute action {arn}" if fault else f"Successfully executed action {arn}",
        {
            "actionState": "Failed" if fault else "Succeeded",
            "notificationResource": arn,
            "error": fault,
        },
    )


def _configuration(alarm: Alarm) -> dict[str, Any]:
    told = {"description": alarm.description} if alarm.description else {}
    if alarm.rule is not None:
        return {**told, "alarmRule": alarm.rule}
    metric = {
        "namespace": alarm.namespace,
        "name": alarm.metric_name,
        "dimensions": {item.name: item.value for item in alarm.dimensions},
    }
    statistic = alarm.extended_statistic or alarm.statistic
    stat = {"metric": metric, "period": alarm.period, "stat": statistic}
    return {**told, "metrics": [{"id": "m1", "metricStat": stat, "returnData": True}]}


def _message(alarm: Alarm, before: str, account: str) -> dict[str, Any]:
    """What the actions are sent."""
    message = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": stamp(datetime.now(UTC)),
        "Region": alarm.region_name,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
    }
    if alarm.rule is None:
        return {**message, "Trigger": _trigger(alarm)}
    triggering = json.loads(alarm.state_reason_data or "{}").get("triggeringAlarms", [])
    children = [
        {
            "Arn": child["arn"],
            "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]},
        }
        for child in triggering
    ]
    return {**message, "AlarmRule": alarm.rule, "TriggeringChildren": children}


def _trigger(alarm: Alarm) -> dict[str, Any]:
    if alarm.extended_statistic:
        statistic = {
            "StatisticType": "ExtendedStatistic",
            "ExtendedStatistic": alarm.extended_statistic,
        }
    else:
        statistic = {
            "StatisticType": "Statistic",
            "Statistic": (alarm.statistic or "").upper(),
        }
    return {
        "MetricName": alarm.metric_name,
        "Namespace": alarm.namespace,
        **statistic,
        "Unit": alarm.unit,
        "Dimensions": [{"name": item.name, "value": item.value} for item in alarm.dimensions],
        "Period": alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "missing",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
    }
