"""Users of a site: requests at a steady rate, what they got, and a chart of it.

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
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.observe.charts import COLOURS, HATCHES, Chart, empty, legend

USERS = 200
BIN_SECONDS = 0.25
LOOK_SECONDS = 0.2
_COLUMNS = ["at", "status", "version", "seconds", "user"]
ERROR = "error"


@dataclass
class Load:
    """Ask a site all the time, as long as a `with` block lasts.

    Args:
        url: what is asked for.
        per_second: how many requests a second.
        shares: reads the percentage of the traffic by where it goes (`observe.shares`).
    """

    url: str
    per_second: float = 100.0
    shares: Callable[[], Mapping[str, float]] | None = None
    rows: list[tuple[datetime, int, str, float, int]] = field(default_factory=list)
    looks: list[tuple[datetime, Mapping[str, float]]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
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


def traffic_summary(requests: pd.DataFrame) -> pd.Series[Any]:
    """How many requests there were, how many failed, and how many users saw an error."""
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


def chart_traffic(
    requests: pd.DataFrame,
    moments: Mapping[str, datetime] | None = None,
    title: str = "Requests a second, by who answered",
    weights: pd.DataFrame | None = None,
) -> Chart:
    """Requests a second by version, errors on top, and moments as vertical lines.

    Args:
        requests: `Load.requests`.
        moments: what happened when: the alarm, the rollback, ...
        weights: `Load.weights`, drawn below.
    """
    if requests.empty:
        return empty(title, "nothing has been asked yet")
    zero = requests["at"].min()
    with_weights = weights is not None and not weights.empty
    figure = Figure(figsize=(9, 4.6 if with_weights else 3.4), layout="constrained")
    panels = figure.subplots(
        2 if with_weights else 1,
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [3, 1]} if with_weights else None,
    )[:, 0]
    _draw_requests(panels[0], requests, zero)
    panels[0].set_title(title, loc="left", fontsize=11)
    said = []
    for number, (name, at) in enumerate((moments or {}).items()):
        second = (pd.Timestamp(at).tz_convert("UTC") - zero).total_seconds()
        for axes in panels:
            style = ("--", ":", "-.")[number % 3]
            axes.axvline(second, color="0.2", linestyle=style, label=name)
        said.append(f"{name} at {second:.1f} s")
    legend(panels[0])
    if with_weights:
        assert weights is not None
        _draw_weights(panels[1], weights, zero)
        said.append(f"the last shares: {_told(weights.iloc[-1])}")
    panels[-1].set_xlabel("seconds since the first request")
    summary = traffic_summary(requests)
    whole = (
        f"{summary['requests']} requests, {summary['failed %']} % failed, "
        f"{summary.iloc[-1]} of {USERS} users saw an error"
    )
    return Chart(figure, f"{title}: {'; '.join([whole, *said])}.")


def _draw_requests(axes: Axes, requests: pd.DataFrame, zero: pd.Timestamp) -> None:
    bins = ((requests["at"] - zero).dt.total_seconds() // BIN_SECONDS).astype(int)
    counts = requests.groupby([bins, "version"]).size().unstack(fill_value=0) / BIN_SECONDS
    versions = [*[one for one in counts.columns if one != ERROR], ERROR]
    below: Any = 0.0
    for style, version in enumerate(versions):
        if version not in counts:
            continue
        style = 2 if version == ERROR else (0, 1, 3, 4)[style % 4]
        axes.bar(
            counts.index * BIN_SECONDS,
            counts[version],
            width=BIN_SECONDS,
            bottom=below,
            align="edge",
            label="error" if version == ERROR else f"version {version}",
            color=COLOURS[style],
            hatch=HATCHES[style],
            edgecolor="white",
            linewidth=0.4,
        )
        below = below + counts[version]
    axes.set_ylabel("requests a second")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_weights(axes: Axes, weights: pd.DataFrame, zero: pd.Timestamp) -> None:
    """Shares on top of one another, in greys: the colours above are the versions'."""
    seconds = (weights.index - zero).total_seconds()
    names = sorted(weights.columns)
    bands = axes.stackplot(seconds, *[weights[name] for name in names], labels=names, step="post")
    for number, band in enumerate(bands):
        band.set(facecolor=str(0.35 + 0.5 * number / max(len(names) - 1, 1)), edgecolor="white")
        band.set_hatch(("", "//", "..", "xx")[number % 4])
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of traffic to")
    axes.spines[["top", "right"]].set_visible(False)
    handles = dict(zip(names, bands, strict=True))
    axes.legend(
        handles.values(), handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False
    )


def _told(shares: pd.Series[Any]) -> str:
    return ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
