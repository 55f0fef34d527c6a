"""CloudWatch alarms that evaluate: what the metrics say decides, every minute of the scaled clock.

A period of an alarm is compressed as every wait is: 60 s are the last second in the lab. An alarm
whose state was set by hand (SetAlarmState) keeps it until the next evaluation, as on AWS.

AWS pages: "Using Amazon CloudWatch alarms", evaluating an alarm, missing data; "Alarm events and
EventBridge".
"""

from __future__ import annotations

import ast
import json
import logging
import operator
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends

from labkit.cloud import bus, clients, runtime
from labkit.cloud.monitoring import metrics
from labkit.cloud.service import named

logger = logging.getLogger(__name__)

CLOUDWATCH = "cloudwatch.amazonaws.com"
EVALUATED_EVERY = 60.0  # AWS seconds
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_WORDS = {
    "GreaterThanThreshold": "greater than",
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

Values = dict[str, float | None]


def start() -> None:
    """Make moto's alarms evaluate: called once, when the local AWS starts."""
    metrics.start()
    create = CloudWatchBackend.put_metric_alarm
    update = Alarm.update_state

    @wraps(create)
    def put_metric_alarm(self: Any, *arguments: Any, **keywords: Any) -> Alarm:
        known = self.alarms.get(named(create, self, *arguments, **keywords)["name"])
        alarm = create(self, *arguments, **keywords)
        if fault := _fault(alarm):
            if known is None:
                del self.alarms[alarm.name]
            else:
                self.alarms[alarm.name] = known
            raise ValidationError(fault)
        if known is None:
            alarm.state_value = "INSUFFICIENT_DATA"
        else:  # a changed alarm keeps its state until it is evaluated
            alarm.state_value, alarm.history = known.state_value, known.history
        return alarm

    def update_state(self: Any, reason: str, reason_data: str, state_value: str) -> None:
        before = self.state_value
        update(self, reason, reason_data, state_value)
        if before != state_value:
            _tell(self, before)

    CloudWatchBackend.put_metric_alarm = put_metric_alarm  # type: ignore[method-assign]
    Alarm.update_state = update_state  # type: ignore[method-assign]
    threading.Thread(target=_evaluate_all, name="alarms", daemon=True).start()


def _fault(alarm: Alarm) -> str | None:
    """What of an alarm the lab does not evaluate."""
    if alarm.comparison_operator not in _COMPARE:
        return f"The lab does not evaluate the ComparisonOperator {alarm.comparison_operator}"
    if alarm.extended_statistic:
        return f"The lab does not evaluate the ExtendedStatistic {alarm.extended_statistic}"
    for query in alarm.metric_data_queries:
        try:
            if query.expression:
                _calculate(ast.parse(query.expression, mode="eval").body, None)
        except (ValueError, SyntaxError):
            return (
                f"The lab evaluates + - * / ( ) and FILL(m, number) in a metric math expression, "
                f"and not: {query.expression}"
            )
        if query.metric_stat and query.metric_stat.stat not in metrics.STATISTICS:
            return f"The lab does not evaluate the statistic {query.metric_stat.stat}"
    return None


def _evaluate_all() -> None:
    clock = runtime.current().clock
    while True:
        time.sleep(max(clock.wait_seconds(EVALUATED_EVERY), 0.1))
        for regions in list(cloudwatch_backends.values()):
            for backend in list(regions.values()):
                for alarm in list(backend.alarms.values()):
                    try:
                        _evaluate(backend, alarm)
                    except Exception:
                        logger.exception("alarm %s", alarm.name)


def _evaluate(backend: CloudWatchBackend, alarm: Alarm) -> None:
    if alarm.rule:
        return
    count = int(alarm.evaluation_periods)
    needed = int(alarm.datapoints_to_alarm or count)
    now = datetime.now(UTC)
    values = [_value(backend, alarm, now, number) for number in range(count)]
    present = [value for value in values if value is not None]
    breaching = [value for value in present if _breaches(alarm, value)]
    treat = alarm.treat_missing_data or "missing"
    missing = count - len(present)
    if not present and treat in ("missing", "ignore"):
        if treat == "missing":
            _become(alarm, "INSUFFICIENT_DATA", "Insufficient Data: no datapoints were received.")
        return
    bad = len(breaching) + (missing if treat == "breaching" else 0)
    state = "ALARM" if bad >= needed else "OK"
    told = ", ".join(f"{value:g}" for value in reversed(present)) or "no datapoints"
    not_ = "" if state == "ALARM" else "not "
    _become(
        alarm,
        state,
        f"Threshold Crossed: {bad if state == 'ALARM' else len(present)} out of the last {count} "
        f"datapoints [{told}] was {not_}{_WORDS[alarm.comparison_operator]} the threshold "
        f"({float(alarm.threshold):g}) (minimum {needed} datapoint{'s' if needed > 1 else ''} for "
        f"{'OK -> ALARM' if state == 'ALARM' else 'ALARM -> OK'} transition).",
    )


def _breaches(alarm: Alarm, value: float) -> bool:
    return _COMPARE[alarm.comparison_operator](value, float(alarm.threshold))


def _value(
    backend: CloudWatchBackend, alarm: Alarm, now: datetime, periods_ago: int
) -> float | None:
    """The alarm's value in one period, counted back from now."""
    if not alarm.metric_data_queries:
        dimensions = {str(item.name): str(item.value) for item in alarm.dimensions}
        since, until = _period(now, float(alarm.period), periods_ago)
        data = metrics.series(
            backend, alarm.namespace, alarm.metric_name, dimensions, since, until, alarm.unit
        )
        return metrics.statistic(data, alarm.statistic)
    values: Values = {}
    for query in alarm.metric_data_queries:
        if query.metric_stat is None:
            continue
        stat = query.metric_stat
        since, until = _period(now, float(stat.period), periods_ago)
        dimensions = {str(item.name): str(item.value) for item in stat.metric.dimensions}
        data = metrics.series(
            backend, stat.metric.namespace, stat.metric.metric_name, dimensions, since, until
        )
        values[query.id] = metrics.statistic(data, stat.stat)
    for query in alarm.metric_data_queries:
        if query.expression:
            values[query.id] = _calculate(ast.parse(query.expression, mode="eval").body, values)
    returned = [one for one in alarm.metric_data_queries if str(one.return_data).lower() != "false"]
    return values.get(returned[-1].id) if returned else None


def _period(now: datetime, seconds: float, periods_ago: int) -> tuple[datetime, datetime]:
    length = timedelta(seconds=runtime.current().clock.wait_seconds(seconds))
    return now - (periods_ago + 1) * length, now - periods_ago * length


def _calculate(node: ast.AST, values: Values | None) -> float | None:
    """A metric math expression; None where a value is missing, or `values` is None (a trial)."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return None if values is None else values.get(name)
        case ast.UnaryOp(op=ast.USub(), operand=part):
            value = _calculate(part, values)
            return None if value is None else -value
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            one, two = _calculate(left, values), _calculate(right, values)
            if one is None or two is None or (isinstance(sign, ast.Div) and two == 0):
                return None
            return _ARITHMETIC[type(sign)](one, two)
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, ast.Constant(value=other)]):
            value = _calculate(filled, values)
            return float(other) if value is None else value  # type: ignore[arg-type]
    raise ValueError(ast.unparse(node))  # type: ignore[arg-type]


def _become(alarm: Alarm, state: str, reason: str) -> None:
    if alarm.state_value != state:
        data = json.dumps({"version": "1.0", "threshold": alarm.threshold})
        alarm.update_state(reason, data, state)


def _tell(alarm: Alarm, before: str) -> None:
    """The event, and the actions of the new state."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
    account = alarm.alarm_arn.split(":")[4]
    logger.info("alarm %s: %s -> %s: %s", alarm.name, before, alarm.state_value, alarm.state_reason)
    bus.publish(
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        {
            "alarmName": alarm.name,
            "state": {
                "value": alarm.state_value,
                "reason": alarm.state_reason,
                "reasonData": alarm.state_reason_data,
                "timestamp": now,
            },
            "previousState": {"value": before},
            "configuration": {"description": alarm.description, "metrics": _configured(alarm)},
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
        message = json.dumps(_message(alarm, before, now, account))
        subject = f'{alarm.state_value}: "{alarm.name}" in {alarm.region_name}'
        threading.Thread(target=_act, args=(alarm, actions, subject, message), daemon=True).start()


def _act(alarm: Alarm, actions: list[str], subject: str, message: str) -> None:
    session = clients.as_service(CLOUDWATCH, alarm.region_name)
    for arn in actions:
        try:
            match arn.split(":")[2]:
                case "sns":
                    session.client("sns").publish(
                        TopicArn=arn, Subject=subject[:100], Message=message
                    )
                case "lambda":
                    session.client("lambda").invoke(
                        FunctionName=arn, InvocationType="Event", Payload=message
                    )
                case service:
                    logger.error("alarm %s: the lab has no action of %s", alarm.name, service)
        except (ClientError, BotoCoreError) as error:
            logger.error("alarm %s: action %s: %s", alarm.name, arn, error)


def _configured(alarm: Alarm) -> list[dict[str, Any]]:
    metric = {
        "namespace": alarm.namespace,
        "name": alarm.metric_name,
        "dimensions": {item.name: item.value for item in alarm.dimensions},
    }
    stat = {"metric": metric, "period": alarm.period, "stat": alarm.statistic}
    return [{"id": "m1", "metricStat": stat, "returnData": True}]


def _message(alarm: Alarm, before: str, now: str, account: str) -> dict[str, Any]:
    """AWS page: "Notifying users on alarm changes", the message of an alarm."""
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": now,
        "Region": alarm.region_name,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
        "Trigger": {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "StatisticType": "Statistic",
            "Statistic": (alarm.statistic or "").upper(),
            "Unit": alarm.unit,
            "Dimensions": [{"name": item.name, "value": item.value} for item in alarm.dimensions],
            "Period": alarm.period,
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints_to_alarm,
            "ComparisonOperator": alarm.comparison_operator,
            "Threshold": alarm.threshold,
            "TreatMissingData": alarm.treat_missing_data or "missing",
        },
    }
