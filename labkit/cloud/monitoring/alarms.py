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
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import Any

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import (
    Alarm,
    CloudWatchBackend,
    MetricDatumBase,
    MetricStat,
    cloudwatch_backends,
)
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from labkit.cloud.monitoring import composites, descriptions, history, metrics, notices
from labkit.cloud.shared import runtime, threads
from labkit.cloud.shared.service import named

logger = logging.getLogger(__name__)

EVALUATED_EVERY = 60.0  # AWS seconds
_SETTLED = 0.02  # seconds after which what was just measured has been put
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
    for part in (metrics, history, composites, descriptions):
        part.start()
    create = CloudWatchBackend.put_metric_alarm
    update = Alarm.update_state

    @wraps(create)
    def put_metric_alarm(self: Any, *arguments: Any, **keywords: Any) -> Alarm:
        known = self.alarms.get(named(create, self, *arguments, **keywords)["name"])
        if known and known.rule is not None:
            raise ValidationError(f"There is a composite alarm of the name {known.name}")
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
        composites.noted(alarm, "Create" if known is None else "Update")
        return alarm

    def update_state(self: Any, reason: str, reason_data: str, state_value: str) -> None:
        with composites.lock:
            before = notices.state(self)
            update(self, reason, reason_data, state_value)
            if before["value"] != state_value:
                self.state_transitioned_timestamp = self.state_updated_timestamp
                notices.tell(self, before)
                composites.follow(self)

    put = CloudWatchResponse.put_metric_alarm

    @wraps(put)
    def checked_put(self: CloudWatchResponse) -> ActionResult:
        composites.refuse(
            self._get_params(),
            "EvaluationWindow",
            "WarmUpConfiguration",
            "EvaluationCriteria",
            "EvaluationInterval",
            "ActionConfiguration",
        )
        return put(self)

    CloudWatchResponse.put_metric_alarm = checked_put  # type: ignore[method-assign]
    CloudWatchBackend.put_metric_alarm = put_metric_alarm  # type: ignore[method-assign]
    Alarm.update_state = update_state  # type: ignore[method-assign]
    threads.repeat(_Evaluation().next, name="alarms")


def _fault(alarm: Alarm) -> str | None:
    """What of an alarm the lab does not evaluate."""
    if alarm.comparison_operator not in _COMPARE:
        return f"The lab does not evaluate the ComparisonOperator {alarm.comparison_operator}"
    if alarm.extended_statistic and alarm.statistic:
        return "An alarm has a Statistic or an ExtendedStatistic, and not both"
    if alarm.extended_statistic and metrics.percentile_of(alarm.extended_statistic) is None:
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
        stat = query.metric_stat.stat if query.metric_stat else "Sum"
        if stat not in metrics.STATISTICS and metrics.percentile_of(stat) is None:
            return f"The lab does not evaluate the statistic {stat}"
    return None


class _Evaluation:
    """Evaluates as of one moment after the other, so that no value falls between two periods."""

    def __init__(self) -> None:
        seconds = max(runtime.current().clock.wait_seconds(EVALUATED_EVERY), 0.1)
        self._step, self._due = timedelta(seconds=seconds), datetime.now(UTC)

    def next(self) -> None:
        """Wait for the next moment, and evaluate as of it."""
        self._due += self._step
        late = datetime.now(UTC) - self._due
        if late > 10 * self._step:  # the machine slept
            self._due += late
        time.sleep(max(-late.total_seconds(), 0) + _SETTLED)
        evaluate_all(self._due)


def evaluate_all(now: datetime) -> None:
    """Evaluate every alarm on metrics, as of a moment."""
    for regions in list(cloudwatch_backends.values()):
        for backend in list(regions.values()):
            for alarm in list(backend.alarms.values()):
                threads.attempt(
                    partial(_evaluate, backend, alarm, now),
                    name=f"alarm {alarm.name}",
                    failed=partial(_not_evaluated, alarm),
                )


def _not_evaluated(alarm: Alarm, error: Exception) -> None:
    _become(alarm, "INSUFFICIENT_DATA", f"Insufficient Data: it could not be evaluated: {error!r}")


def _evaluate(backend: CloudWatchBackend, alarm: Alarm, now: datetime) -> None:
    if alarm.rule:
        return
    count = int(alarm.evaluation_periods)
    needed = int(alarm.datapoints_to_alarm or count)
    values = [_value(backend, alarm, now, number) for number in range(count)]
    present = [value for value in values if value is not None]
    if present and _has_too_few_samples(backend, alarm, now):
        return
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


def _has_too_few_samples(backend: CloudWatchBackend, alarm: Alarm, now: datetime) -> bool:
    """Whether a percentile says nothing and is to be ignored then.

    AWS page: "Percentile-based alarms and low data samples".
    """
    if alarm.evaluate_low_sample_count_percentile != "ignore" or not alarm.extended_statistic:
        return False
    share = metrics.percentile_of(alarm.extended_statistic) or 0.0
    rest = 1 - share if share >= 0.5 else share
    seen = sum(
        metrics.statistic(_data(backend, alarm, now, number), "SampleCount") or 0
        for number in range(int(alarm.evaluation_periods))
    )
    return seen * rest < 10 - 1e-6  # 100 * (1 - 0.9) is a little less than 10


def _data(
    backend: CloudWatchBackend, alarm: Alarm, now: datetime, periods_ago: int
) -> list[MetricDatumBase]:
    """What was measured of an alarm's one metric in one period, counted back from now."""
    dimensions = {str(item.name): str(item.value) for item in alarm.dimensions}
    since, until = _period(now, float(alarm.period), periods_ago)
    return metrics.series(
        backend, alarm.namespace, alarm.metric_name, dimensions, since, until, alarm.unit
    )


def _value(
    backend: CloudWatchBackend, alarm: Alarm, now: datetime, periods_ago: int
) -> float | None:
    """The alarm's value in one period, counted back from now."""
    if not alarm.metric_data_queries:
        data = _data(backend, alarm, now, periods_ago)
        return metrics.statistic(data, alarm.extended_statistic or alarm.statistic)
    values: Values = {}
    for query in alarm.metric_data_queries:
        if query.metric_stat:
            values[query.id] = _measured(backend, query.metric_stat, now, periods_ago)
    for query in alarm.metric_data_queries:
        if query.expression:
            values[query.id] = _calculate(ast.parse(query.expression, mode="eval").body, values)
    returned = [one for one in alarm.metric_data_queries if str(one.return_data).lower() != "false"]
    return values.get(returned[-1].id) if returned else None


def _measured(
    backend: CloudWatchBackend, stat: MetricStat, now: datetime, periods_ago: int
) -> float | None:
    since, until = _period(now, float(stat.period), periods_ago)
    dimensions = {str(item.name): str(item.value) for item in stat.metric.dimensions}
    data = metrics.series(
        backend, stat.metric.namespace, stat.metric.metric_name, dimensions, since, until
    )
    return metrics.statistic(data, stat.stat)


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
            return float(_ARITHMETIC[type(sign)](one, two))
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, ast.Constant(value=other)]):
            value = _calculate(filled, values)
            return float(other) if value is None else value  # type: ignore[arg-type]
    raise ValueError(ast.unparse(node))


def _become(alarm: Alarm, state: str, reason: str) -> None:
    if alarm.state_value != state:
        data = json.dumps({"version": "1.0", "threshold": alarm.threshold})
        alarm.update_state(reason, data, state)
