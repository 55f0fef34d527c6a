"""Users of a site: requests at a steady rate, what they got, and a chart of it.

Each request is one of `USERS` users', in turn, so that it can be said how many of them saw an error.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import aiohttp
import pandas as pd
from matplotlib.figure import Figure

from labkit.observe.charts import COLOURS, HATCHES, Chart, empty, legend

USERS = 200
BIN_SECONDS = 0.25
_COLUMNS = ["at", "status", "version", "seconds", "user"]
_ERROR = "error"


@dataclass
class Load:
    """Ask a site all the time, as long as a `with` block lasts.

    Args:
        url: what is asked for.
        per_second: how many requests a second.
    """

    url: str
    per_second: float = 100.0
    rows: list[tuple[datetime, int, str, float, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def requests(self) -> pd.DataFrame:
        """A row for each request: at (UTC), status (0 for none), version, seconds, user."""
        return pd.DataFrame(self.rows, columns=_COLUMNS).sort_values("at", ignore_index=True)

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
        version = text if 200 <= status < 400 else _ERROR
        self.rows.append((at, status, version, time.perf_counter() - started, user))


def traffic_summary(requests: pd.DataFrame) -> pd.Series[Any]:
    """How many requests there were, how many failed, and how many users saw an error."""
    bad = requests[requests["version"] == _ERROR]
    return pd.Series(
        {
            "requests": len(requests),
            "failed": len(bad),
            "failed %": round(100 * len(bad) / max(len(requests), 1), 1),
            f"users of {USERS} who saw an error": bad["user"].nunique(),
        },
        dtype=object,
    )


def chart_traffic(
    requests: pd.DataFrame,
    moments: Mapping[str, datetime] | None = None,
    title: str = "Requests a second, by who answered",
) -> Chart:
    """Requests a second by version, errors on top, and moments as vertical lines.

    Args:
        requests: `Load.requests`.
        moments: what happened when: the alarm, the rollback, ...
    """
    if requests.empty:
        return empty(title, "nothing has been asked yet")
    zero = requests["at"].min()
    bins = ((requests["at"] - zero).dt.total_seconds() // BIN_SECONDS).astype(int)
    counts = requests.groupby([bins, "version"]).size().unstack(fill_value=0) / BIN_SECONDS
    versions = [*[one for one in counts.columns if one != _ERROR], _ERROR]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    below: Any = 0.0
    for style, version in enumerate(versions):
        if version not in counts:
            continue
        style = 2 if version == _ERROR else (0, 1, 3, 4)[style % 4]
        axes.bar(
            counts.index * BIN_SECONDS,
            counts[version],
            width=BIN_SECONDS,
            bottom=below,
            align="edge",
            label="error" if version == _ERROR else f"version {version}",
            color=COLOURS[style],
            hatch=HATCHES[style],
            edgecolor="white",
            linewidth=0.4,
        )
        below = below + counts[version]
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("seconds since the first request")
    axes.set_ylabel("requests a second")
    axes.spines[["top", "right"]].set_visible(False)
    said = []
    for number, (name, at) in enumerate((moments or {}).items()):
        second = (pd.Timestamp(at).tz_convert("UTC") - zero).total_seconds()
        axes.axvline(second, color="0.2", linestyle=("--", ":", "-.")[number % 3], label=name)
        said.append(f"{name} at {second:.1f} s")
    legend(axes)
    summary = traffic_summary(requests)
    whole = (
        f"{summary['requests']} requests, {summary['failed %']} % failed, "
        f"{summary.iloc[-1]} of {USERS} users saw an error"
    )
    return Chart(figure, f"{title}: {'; '.join([whole, *said])}.")
