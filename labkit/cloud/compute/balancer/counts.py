"""What the balancer has counted between two reports.

AWS page: "CloudWatch metrics for your Application Load Balancer".
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

FINENESS = 50  # of response times: those within 2 % are alike
Table = dict[str, Any]


def _sums() -> dict[tuple[str, str], dict[str, float]]:
    return defaultdict(lambda: defaultdict(float))


def _times() -> dict[tuple[str, str], dict[int, list[float]]]:
    return defaultdict(lambda: defaultdict(lambda: [0.0, 0]))


class Counts:
    """What was counted since the last report, by load balancer and target group.

    Response times that are alike are told as their mean, so that percentiles can be had of them.
    """

    def __init__(self) -> None:
        self._sums, self._times = _sums(), _times()

    def add(self, balancer: str, group: str, **values: float) -> None:
        sums = self._sums[balancer, group]
        for name, value in values.items():
            sums[name] += value

    def answered(self, balancer: str, group: str, status: int, seconds: float) -> None:
        self.add(balancer, group, **{"requests": 1, f"{status // 100}XX": 1})
        alike = self._times[balancer, group][int(math.log(seconds) * FINENESS)]
        alike[0] += seconds
        alike[1] += 1

    def take(self) -> list[Table]:
        taken, times = self._sums, self._times
        self._sums, self._times = _sums(), _times()
        return [
            {
                "balancer": one,
                "group": two,
                **sums,
                "times": [(total / count, count) for total, count in times[one, two].values()],
            }
            for (one, two), sums in taken.items()
        ]
