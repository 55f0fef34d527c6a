"""Users of a site: requests at a steady rate, and what they got.

Each request is one of `USERS` users', in turn, so that it can be said how many of them saw an error.
Beside it, where the load balancer sent the requests at the time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import aiohttp
import pandas as pd

from labkit.watched import waiting

USERS = 200
LOOK_SECONDS = 0.2
_COLUMNS = ["at", "status", "version", "seconds", "user"]
ERROR = "error"


@dataclass
class Load:
    """Ask a site all the time, as long as a `with` block lasts.

    Args:
        url: what is asked for.
        per_second: how many requests a second.
        seconds: go on at least so long, however soon the block ends: what is compared has the same load for
            the same time.
        shares: reads the percentage of the traffic by where it goes (`observe.shares`).
    """

    url: str
    per_second: float = 100.0
    seconds: float = 0.0
    shares: Callable[[], Mapping[str, float]] | None = None
    rows: list[tuple[datetime, int, str, float, int]] = field(default_factory=list)
    looks: list[tuple[datetime, Mapping[str, float]]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._begun = time.monotonic()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._work = [
            self._pool.submit(lambda: asyncio.run(self._ask())),
            self._pool.submit(self._look),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            left = self._begun + self.seconds - time.monotonic()
            with waiting(f"{self.seconds:.0f} s of requests", self.seconds):
                time.sleep(max(left, 0.0))
        self._over.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()

    @property
    def requests(self) -> pd.DataFrame:
        """A row for each request: at (UTC), status (0 for none), version, seconds, user."""
        return pd.DataFrame(self.rows, columns=_COLUMNS).sort_values("at", ignore_index=True)

    @property
    def weights(self) -> pd.DataFrame:
        """A row for each look at the shares, by time (UTC); a column for each place, in percent."""
        times, seen = [at for at, _ in self.looks], [dict(found) for _, found in self.looks]
        return pd.DataFrame(seen, index=pd.DatetimeIndex(times, name="at")).fillna(0.0)

    def _look(self) -> None:
        last = False
        while self.shares is not None and not last:
            last = self._over.wait(LOOK_SECONDS if self.looks else 0)
            self.looks.append((datetime.now(UTC), self.shares()))

    async def _ask(self) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        begun, number = time.perf_counter(), 0
        running: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0)
        ) as session:
            while not self._over.is_set():
                task = asyncio.create_task(self._one(session, number % USERS))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
                await asyncio.sleep(max(begun + number / self.per_second - time.perf_counter(), 0))
            if running:
                await asyncio.wait(running)

    async def _one(self, session: aiohttp.ClientSession, user: int) -> None:
        at, started = datetime.now(UTC), time.perf_counter()
        try:
            async with session.get(self.url) as answer:
                status, text = answer.status, (await answer.text()).strip()[:20]
        except (aiohttp.ClientError, TimeoutError):
            status, text = 0, ""
        version = text if 200 <= status < 400 else ERROR
        self.rows.append((at, status, version, time.perf_counter() - started, user))


def traffic_summary(requests: pd.DataFrame, seconds: float | None = None) -> pd.Series[Any]:
    """How many requests there were, how many failed, and how many users saw an error.

    Args:
        seconds: count those of the first so many seconds alone.
    """
    if seconds is not None and len(requests):
        requests = requests[requests["at"] < requests["at"].min() + pd.Timedelta(seconds=seconds)]
    bad = requests[requests["version"] == ERROR]
    return pd.Series(
        {
            "requests": len(requests),
            "failed": len(bad),
            "failed %": round(100 * len(bad) / max(len(requests), 1), 1),
            f"users of {USERS} who saw an error": bad["user"].nunique(),
        },
        dtype=object,
    )
