"""Scaled waits: AWS's own waits (bake times, alarm periods, approval time-outs) pass faster.

Commands run in real time; only waiting is compressed (rule R5). What limits commands is real as well:
a build's timeout of 5 minutes is 5 minutes, unless whoever starts the lab says otherwise
(`LABKIT_TIMEOUT_SCALE=60 labkit up`: seconds, to see a build time out). How fast waiting passes is one
setting as well (`LABKIT_CLOCK_SCALE=3600 labkit up`: a day is 24 seconds, to see objects expire).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

SCALE = "LABKIT_CLOCK_SCALE"
TIMEOUT_SCALE = "LABKIT_TIMEOUT_SCALE"


def _scale() -> float:
    return float(os.environ.get(SCALE) or 60)


def _timeout_scale() -> float:
    return float(os.environ.get(TIMEOUT_SCALE) or 1)


@dataclass(frozen=True)
class Clock:
    """`scale` AWS seconds of waiting pass in one second of the lab."""

    scale: float = field(default_factory=_scale)
    timeout_scale: float = field(default_factory=_timeout_scale)

    def wait_seconds(self, aws_seconds: float) -> float:
        """How long the lab waits, in seconds, where AWS would wait `aws_seconds`."""
        return aws_seconds / self.scale

    def work_seconds(self, aws_seconds: float) -> float:
        """How long the lab lets work run, in seconds, that AWS would end after `aws_seconds`."""
        return aws_seconds / self.timeout_scale

    def describe(self, aws_seconds: float) -> str:
        """Both figures, as every shown wait says them: `5 min, 5 s in the lab`."""
        return f"{_human(aws_seconds)}, {_human(self.wait_seconds(aws_seconds))} in the lab"


@lru_cache(maxsize=8)
def written(second: int) -> str:
    """A moment as AWS's documents write it, in UTC: `2026-11-28T15:04:05Z`.

    Args:
        second: since the epoch; many requests are of the same.
    """
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _human(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:.3g} s"
