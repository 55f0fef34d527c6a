"""The history of alarms: what was configured, what state they took, what they did about it.

AWS page: "DescribeAlarmHistory" in the CloudWatch API Reference.
"""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from labkit.cloud.monitoring.metrics import utc
from labkit.cloud.shared.service import page

MOST_ITEMS = 20_000  # of an account and Region; AWS keeps 30 days
_kept: WeakKeyDictionary[CloudWatchBackend, deque[dict[str, Any]]] = WeakKeyDictionary()


def start() -> None:
    """Answer DescribeAlarmHistory, which moto does not: called once, when the local AWS starts."""
    CloudWatchResponse.describe_alarm_history = _describe  # type: ignore[attr-defined]


def backend_of(alarm: Alarm) -> CloudWatchBackend:
    """The backend of an alarm's account and Region."""
    return cloudwatch_backends[alarm.alarm_arn.split(":")[4]][alarm.region_name]


def kind(alarm: Alarm) -> str:
    """The type of an alarm, as AlarmTypes names it."""
    return "MetricAlarm" if alarm.rule is None else "CompositeAlarm"


def add(alarm: Alarm, item_type: str, summary: str, data: dict[str, Any]) -> None:
    """Note one thing that has happened to, or was done by, an alarm."""
    items = _kept.setdefault(backend_of(alarm), deque(maxlen=MOST_ITEMS))
    items.append(
        {
            "AlarmName": alarm.name,
            "AlarmType": kind(alarm),
            "Timestamp": datetime.now(UTC),
            "HistoryItemType": item_type,
            "HistorySummary": summary,
            "HistoryData": json.dumps({"version": "1.0", **data}),
        }
    )


def _describe(self: CloudWatchResponse) -> ActionResult:
    given = self._get_params()
    wanted = {
        "AlarmName": given.get("AlarmName"),
        "HistoryItemType": given.get("HistoryItemType"),
    }
    types = given.get("AlarmTypes") or ["MetricAlarm"]
    first = utc(given.get("StartDate") or datetime.min)
    last = utc(given.get("EndDate") or datetime.max)
    found = [
        item
        for item in list(_kept.get(self.cloudwatch_backend, ()))
        if item["AlarmType"] in types
        and first <= item["Timestamp"] <= last
        and all(value in (None, item[key]) for key, value in wanted.items())
    ]
    if given.get("ScanBy") != "TimestampAscending":
        found.reverse()
    items, token = page(
        found, given.get("NextToken"), given.get("MaxRecords"), error_code="InvalidNextToken"
    )
    return ActionResult({"AlarmHistoryItems": items, "NextToken": token})
