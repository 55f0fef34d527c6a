"""CloudWatch's metrics as series: one namespace, name and set of dimensions is one metric.

moto finds a metric by any subset of its dimensions and would add up what AWS keeps apart; here the
dimensions have to be the very ones.

AWS page: "CloudWatch metrics concepts", dimensions and statistics.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.exceptions import InvalidParameterValue
from moto.cloudwatch.models import CloudWatchBackend, MetricDatumBase, Statistics

STATISTICS = ("Sum", "Average", "Minimum", "Maximum", "SampleCount")


def start() -> None:
    """Make GetMetricStatistics exact: called once, when the local AWS starts."""
    CloudWatchBackend.get_metric_statistics = _get_metric_statistics  # type: ignore[method-assign]


def series(
    backend: CloudWatchBackend,
    namespace: str,
    name: str,
    dimensions: dict[str, str],
    since: datetime,
    until: datetime,
    unit: str | None = None,
) -> list[MetricDatumBase]:
    """The data of one metric from `since` on, and before `until`, oldest first."""
    found = [
        one
        for one in backend.get_all_metrics()
        if one.name == name
        and one.namespace == namespace
        and since <= moment(one) < until
        and unit in (None, one.unit)
        and {item.name: item.value for item in one.dimensions} == dimensions
    ]
    return sorted(found, key=moment)


def moment(datum: MetricDatumBase) -> datetime:
    """When a value was measured; moto keeps its own moments without a zone."""
    stamp = datum.timestamp
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def statistic(data: Iterable[MetricDatumBase], name: str) -> float | None:
    """One statistic of some data; None if there are none."""
    kept = Statistics([name], datetime.now(UTC))
    kept.metric_data = list(data)
    value = kept.get_statistics_for_type(name) if kept.metric_data else None
    return None if value is None else float(value)


def _get_metric_statistics(
    self: Any,
    namespace: str,
    metric_name: str,
    start_time: datetime,
    end_time: datetime,
    period: int,
    stats: list[str],
    dimensions: list[dict[str, str]],
    unit: str | None = None,
) -> list[Statistics]:
    """Values by period, which begin at multiples of the period since midnight."""
    start, end = (_utc(one).replace(microsecond=0) for one in (start_time, end_time))
    if start >= end:
        raise InvalidParameterValue(
            "The parameter StartTime must be less than the parameter EndTime."
        )
    wanted = {item["Name"]: item["Value"] for item in dimensions or []}
    periods: dict[int, Statistics] = {}
    for datum in series(self, namespace, metric_name, wanted, start, end, unit):
        number = int(moment(datum).timestamp()) // period
        if number not in periods:
            begin = datetime.fromtimestamp(number * period, UTC)
            periods[number] = Statistics(stats, begin)
            periods[number].unit = datum.unit
        periods[number].metric_data.append(datum)
    return list(periods.values())


def _utc(stamp: datetime) -> datetime:
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
