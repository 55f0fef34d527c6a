"""What one evaluation of the alarms costs, after a minute of traffic and after an hour: `make bench`.

The metrics and the alarms of three load balancers that report four times a second, in this process;
nothing waits, time passes by the data's time stamps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from moto.cloudwatch.models import CloudWatchBackend, MetricDatum, cloudwatch_backends

from labkit.cloud.monitoring import alarms, metrics
from labkit.cloud.shared import runtime

BALANCERS, REPORTS_A_SECOND = 3, 4
MINUTE, HOUR = 60, 3600
ROUNDS = 51
MOST_TIMES = 1.5
NAMESPACE, REGION = "AWS/ApplicationELB", "us-east-1"
COUNTS = ("RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_5XX_Count")
TIMES = [0.001 * number for number in range(1, 51)]
START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudWatchBackend]:
    monkeypatch.setattr(runtime, "_current", runtime.Runtime(tmp_path, "", REGION))
    account = "123456789012"
    cloudwatch_backends[account].pop(REGION, None)
    yield cloudwatch_backends[account][REGION]
    cloudwatch_backends[account].pop(REGION, None)


def declare(backend: CloudWatchBackend) -> None:
    """An alarm for each metric: sums of one period, and a percentile of three."""
    for number in range(BALANCERS):
        for name in (*COUNTS, "TargetResponseTime"):
            of_time = name == "TargetResponseTime"
            backend.put_metric_alarm(
                name=f"{name}-{number}",
                namespace=NAMESPACE,
                metric_name=name,
                comparison_operator="GreaterThanThreshold",
                evaluation_periods=3 if of_time else 1,
                period=60,
                threshold=1e9,
                statistic="" if of_time else "Sum",
                extended_statistic="p99" if of_time else None,
                description="",
                dimensions=_dimensions(number),
                alarm_actions=[],
            )


def pass_time(backend: CloudWatchBackend, start: datetime, seconds: int) -> datetime:
    """So many seconds of reports; returns when they end."""
    step = timedelta(seconds=1 / REPORTS_A_SECOND)
    for report in range(seconds * REPORTS_A_SECOND):
        at = start + report * step
        for number in range(BALANCERS):
            where = {"dimensions": _dimensions(number), "timestamp": at}
            backend.metric_data += [MetricDatum(NAMESPACE, one, 50.0, **where) for one in COUNTS]
            times = metrics.Distribution(
                NAMESPACE, "TargetResponseTime", TIMES, [1.0] * len(TIMES), **where
            )
            backend.metric_data.append(times)
    return start + timedelta(seconds=seconds)


def _dimensions(number: int) -> list[dict[str, str]]:
    return [{"Name": "LoadBalancer", "Value": f"app/site/{number}"}]


def cost(backend: CloudWatchBackend, now: datetime) -> tuple[float, datetime]:
    """The seconds of one evaluation, each after one more second of traffic."""
    spent = []
    for _ in range(ROUNDS):
        now = pass_time(backend, now, 1)
        started = time.perf_counter()
        alarms.evaluate_all(now)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent), now


def test_an_evaluation_costs_the_same_after_an_hour(backend: CloudWatchBackend) -> None:
    declare(backend)
    young, now = cost(backend, pass_time(backend, START, MINUTE))
    old, _ = cost(backend, pass_time(backend, now, HOUR))
    print(
        f"\n{len(backend.alarms)} alarms evaluate in {1000 * young:.2f} ms after a minute of traffic, "
        f"{1000 * old:.2f} ms after an hour: {old / young:.2f} times (limit {MOST_TIMES})"
    )
    assert {one.state_value for one in backend.alarms.values()} == {"OK"}
    assert old / young <= MOST_TIMES
