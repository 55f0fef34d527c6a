"""What CloudWatch is told of a function's invocations.

`Invocations`, `Errors` and `Duration`, in the namespace AWS/Lambda: of all functions, of a function, of
the alias or version that was asked for (`Resource`), and of the version that an alias chose
(`ExecutedVersion`). An invocation without an error counts 0 errors. Throttles, ConcurrentExecutions and
the other metrics are not here. AWS page: "Types of metrics for Lambda functions".
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from labkit.cloud.shared import metrics, threads

NAMESPACE = "AWS/Lambda"
_LAMBDA = "lambda.amazonaws.com"

_queue = threads.Queue(1, "lambda-metrics")
_waiting: list[tuple[tuple[str, str], list[dict[str, Any]]]] = []


def count(
    name: str, qualifier: str, version: str, *, failed: bool, seconds: float, arn: str
) -> None:
    """Have one invocation counted; it does not wait for CloudWatch.

    Args:
        qualifier: the alias or version that was asked for; empty for none.
        version: the version that ran.
        arn: the function's, for its Region and account.
    """
    values = [
        ("Invocations", 1.0, "Count"),
        ("Errors", float(failed), "Count"),
        ("Duration", seconds * 1000, "Milliseconds"),
    ]
    data = [
        {"MetricName": metric, "Value": value, "Unit": unit, "Dimensions": dimensions}
        for dimensions in _dimensions(name, qualifier, version)
        for metric, value, unit in values
    ]
    _, _, _, region, account_id, *_ = arn.split(":")
    _waiting.append(((region, account_id), data))
    _queue.add(_put, failed=threads.logged)


def _dimensions(name: str, qualifier: str, version: str) -> list[list[dict[str, str]]]:
    named = {"Name": "FunctionName", "Value": name}
    found = [[], [named]]
    if qualifier:
        resource = {"Name": "Resource", "Value": f"{name}:{qualifier}"}
        found.append([named, resource])
        if not qualifier.isdigit() and qualifier != "$LATEST":
            found.append([named, resource, {"Name": "ExecutedVersion", "Value": version}])
    return found


def _put() -> None:
    """Put what is waiting, all at once: on a busy function many invocations have come meanwhile."""
    some = [_waiting.pop(0) for _ in range(len(_waiting))]
    for (region, account_id), group in groupby(sorted(some, key=_place), key=_place):
        data = [one for _, told in group for one in told]
        metrics.put(_LAMBDA, NAMESPACE, data, region, account_id)


def _place(one: tuple[tuple[str, str], Any]) -> tuple[str, str]:
    return one[0]
