"""CloudWatch's metrics as series: one namespace, name and set of dimensions is one metric.

moto finds a metric by any subset of its dimensions and would add up what AWS keeps apart; here the
dimensions have to be the very ones. moto keeps all data in one list; `series` follows that list
with an index by metric and time, so that a question costs what it asks for, not the lab's age.

AWS page: "CloudWatch metrics concepts", dimensions, statistics and percentiles.
"""

from __future__ import annotations

import re
import threading
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from moto.cloudwatch.exceptions import InvalidParameterValue
from moto.cloudwatch.models import (
    CloudWatchBackend,
    MetricAggregatedDatum,
    MetricDatum,
    MetricDatumBase,
    Statistics,
)

STATISTICS = ("Sum", "Average", "Minimum", "Maximum", "SampleCount")
_PERCENTILE = re.compile(r"p(100|\d{1,2}(\.\d{1,10})?)")
_COMPUTED = ("AWS/S3",)  # moto makes these data when they are asked for

Metric = tuple[str, str, frozenset[tuple[str, str]]]


class Distribution(MetricAggregatedDatum):
    """The `Values` and `Counts` of one PutMetricData; moto would keep each value for itself."""

    def __init__(
        self, namespace: str, name: str, values: list[float], counts: list[float], **more: Any
    ) -> None:
        self._values, self._counts = array("d", values), array("d", counts)
        total = sum(value * count for value, count in self.pairs)
        super().__init__(namespace, name, min(values), max(values), sum(counts), total, **more)

    @property
    def pairs(self) -> Iterator[tuple[float, float]]:
        """Each value, and how often it was measured."""
        return zip(self._values, self._counts, strict=True)


class Index:
    """The data of one backend by metric, each metric's oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: list[MetricDatumBase] | None = None
        self._read = 0
        self._data: dict[Metric, list[MetricDatumBase]] = {}

    def find(
        self, source: list[MetricDatumBase], metric: Metric, since: datetime, until: datetime
    ) -> list[MetricDatumBase]:
        """The data of `metric` in a list that only grows, from `since` on and before `until`."""
        with self._lock:
            self._follow(source)
            data = self._data.get(metric, [])
            return data[bisect_left(data, since, key=moment) : bisect_left(data, until, key=moment)]

    def _follow(self, source: list[MetricDatumBase]) -> None:
        if source is not self._source or len(source) < self._read:  # the backend was reset
            self._source, self._read, self._data = source, 0, {}
        for datum in source[self._read :]:
            insort(self._data.setdefault(_metric(datum), []), datum, key=moment)
            self._read += 1


_indexes: WeakKeyDictionary[CloudWatchBackend, Index] = WeakKeyDictionary()
_indexes_lock = threading.Lock()


def start() -> None:
    """Make GetMetricStatistics and ListMetrics exact: called once, when the local AWS starts."""
    CloudWatchBackend.get_metric_statistics = _get_metric_statistics  # type: ignore[method-assign]
    put = CloudWatchBackend.put_metric_data

    def put_metric_data(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        for number, datum in enumerate(metric_data, start=1):
            self._validate_parameters_put_metric_data(datum, number)
        put(self, namespace, [one for one in metric_data if not one.get("Values")])
        for datum in metric_data:
            if datum.get("Values"):
                self.metric_data += _distributions(namespace, datum)

    filtered = CloudWatchBackend.get_filtered_metrics

    def get_filtered_metrics(self: Any, *arguments: Any) -> list[MetricDatumBase]:
        """Each metric once, whatever dimensions it has."""
        return list({_metric(one): one for one in filtered(self, *arguments)}.values())

    CloudWatchBackend.put_metric_data = put_metric_data  # type: ignore[method-assign]
    CloudWatchBackend.get_filtered_metrics = get_filtered_metrics  # type: ignore[method-assign,assignment]


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
    with _indexes_lock:
        index = _indexes.setdefault(backend, Index())
    metric = (namespace, name, frozenset(dimensions.items()))
    found = index.find(backend.metric_data, metric, since, until)
    if namespace in _COMPUTED:
        computed = [one for one in backend.aws_metric_data if _metric(one) == metric]
        found = sorted(
            [*found, *(one for one in computed if since <= moment(one) < until)], key=moment
        )
    return [one for one in found if unit in (None, one.unit)]


def moment(datum: MetricDatumBase) -> datetime:
    """When a value was measured."""
    return utc(datum.timestamp)


def statistic(data: Iterable[MetricDatumBase], name: str) -> float | None:
    """One statistic of some data; None if there are none."""
    if (share := percentile_of(name)) is not None:
        return _percentile(list(data), share)
    kept = Statistics([name], datetime.now(UTC))
    kept.metric_data = list(data)
    value = kept.get_statistics_for_type(name) if kept.metric_data else None
    return None if value is None else float(value)


def percentile_of(name: str) -> float | None:
    """0.99 of `p99`; None of a statistic that is no percentile."""
    return float(name[1:]) / 100 if _PERCENTILE.fullmatch(name) else None


def _percentile(data: list[MetricDatumBase], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed.

    A set of statistics tells its percentiles only if it is of one value, or of equal ones.
    """
    pairs: list[tuple[float, float]] = []
    for datum in data:
        known = list(_pairs(datum))
        if not known:
            return None
        pairs += known
    left = share * sum(count for _, count in pairs)
    for value, count in sorted(pairs):
        left -= count
        if left <= 1e-9:
            return value
    return None


def _pairs(datum: MetricDatumBase) -> Iterator[tuple[float, float]]:
    match datum:
        case MetricDatum():
            yield datum.value, 1.0
        case Distribution():
            yield from datum.pairs
        case MetricAggregatedDatum() if datum.min == datum.max or datum.sample_count == 1:
            yield datum.max, datum.sample_count


def _distributions(namespace: str, given: dict[str, Any]) -> Iterator[Distribution]:
    counts = given.get("Counts") or [1] * len(given["Values"])
    told = [
        (float(value), float(count))
        for value, count in zip(given["Values"], counts, strict=True)
        if float(count) > 0
    ]
    if told:
        yield Distribution(
            namespace,
            given["MetricName"],
            [value for value, _ in told],
            [count for _, count in told],
            dimensions=given.get("Dimensions") or [],
            timestamp=given.get("Timestamp"),
            unit=given.get("Unit"),
        )


def _metric(datum: MetricDatumBase) -> Metric:
    dimensions = frozenset((str(item.name), str(item.value)) for item in datum.dimensions)
    return datum.namespace, datum.name, dimensions


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
    start, end = (utc(one).replace(microsecond=0) for one in (start_time, end_time))
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


def utc(stamp: datetime) -> datetime:
    """A moment with its zone; moto keeps its own without one."""
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
