"""What the users of a site got, second by second, and where the load balancer sent them meanwhile.

Versions differ in colour and in texture, so that they are told apart on grey paper too. A texture is made of
the few gradients that JupyterLab leaves in a notebook which is not trusted; an error is hollow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any

import pandas as pd

from labkit import colours
from labkit.observe.charts import Chart, empty, heading
from labkit.observe.traffic import ERROR, USERS, traffic_summary

BIN_SECONDS = 0.25
_HEIGHT, _SHARE_HEIGHT = 170, 34  # pixels
_TICKS, _LINES = 8, 5  # on the axes of time and of requests, at most
_ABOVE = 20  # pixels, for the numbers of the moments
_LEFT = "margin-left:3em"  # for the labels of the axis of requests
_STRIPES = "linear-gradient({},#ffffff 25%,transparent 25%,transparent 50%,#ffffff 50%,#ffffff 75%,transparent 75%)"
_LINE = "linear-gradient({},#ffffff 2px,transparent 2px)"
_TEXTURES = (
    "",
    _STRIPES.format("45deg"),
    _LINE.format("180deg"),
    _LINE.format("90deg"),
    _STRIPES.format("135deg"),
)
_DOTS = "radial-gradient(#ffffff 25%,transparent 25%)"  # the bad version's


def chart_traffic(
    requests: pd.DataFrame,
    moments: Mapping[str, datetime] | None = None,
    title: str = "Requests a second, by who answered",
    weights: pd.DataFrame | None = None,
) -> Chart:
    """Requests a second by version, errors on top, and moments as numbered lines.

    Args:
        requests: `Load.requests`.
        moments: what happened when: the alarm, the rollback, ...
        weights: `Load.weights`, drawn below: a strip for each place that gets traffic.
    """
    if requests.empty:
        return empty(title, "nothing has been asked yet")
    zero = requests["at"].min()
    seconds = {
        name: (pd.Timestamp(at).tz_convert("UTC") - zero).total_seconds()
        for name, at in (moments or {}).items()
    }
    counts = _counts(requests, zero)
    whole = len(counts) * BIN_SECONDS
    said = [f"{name} at {at:.1f} s" for name, at in seconds.items()]
    lines = _lines(counts.sum(axis=1).max())
    parts = [_axis(lines), _columns(counts, lines[-1]), _ticks(whole), _marks(seconds, whole)]
    picture = (
        f'<small>requests a second</small><div style="position:relative;{_LEFT};padding-top:{_ABOVE}px">'
        f"{''.join(parts)}</div>"
    )
    below = _named(seconds) + _legend(counts)
    if weights is not None and not weights.empty:
        below += _strips(weights, zero, len(counts))
        said.append(f"the last shares: {_shares(weights.iloc[-1])}")
    summary = traffic_summary(requests)
    total = (
        f"{summary['requests']} requests, {summary['failed %']} % failed, "
        f"{summary.iloc[-1]} of {USERS} users saw an error"
    )
    html = heading(title, "to the right, seconds") + picture + below
    return Chart(html, f"{title}: {'; '.join([total, *said])}.")


def _counts(requests: pd.DataFrame, zero: pd.Timestamp) -> pd.DataFrame:
    """A row for each quarter of a second, a column for each version, the errors last."""
    bins = ((requests["at"] - zero).dt.total_seconds() // BIN_SECONDS).astype(int)
    counts = requests.groupby([bins, "version"]).size().unstack(fill_value=0) / BIN_SECONDS
    versions = [one for one in counts.columns if one != ERROR]
    counts = counts.reindex(range(int(bins.max()) + 1), fill_value=0.0)
    return counts[[*versions, *([ERROR] if ERROR in counts else [])]]


def _fill(version: str, counts: pd.DataFrame) -> str:
    """How what a version answered is drawn, as CSS."""
    if version == ERROR:
        return f"box-shadow:inset 0 0 0 2px {colours.BAD}"
    if version.startswith("bad"):
        return _textured(colours.BAD_VERSION, _DOTS)
    good = [one for one in counts if one != ERROR and not one.startswith("bad")]
    number = good.index(version)
    return _textured(colours.of_kind(number), _TEXTURES[number % len(_TEXTURES)])


def _textured(colour: str, texture: str) -> str:
    ground = f"background-color:{colour}"
    return f"{ground};background-image:{texture};background-size:8px 8px" if texture else ground


def _told_version(version: str) -> str:
    return "error" if version == ERROR else f"version {version}"


def _legend(counts: pd.DataFrame) -> str:
    shown = "".join(
        '<span><span style="display:inline-block;width:26px;height:14px;margin-right:5px;'
        f'vertical-align:middle;{_fill(one, counts)}"></span>{escape(_told_version(one))}</span>'
        for one in counts
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px 16px;margin-top:6px">{shown}</div>'


def _lines(highest: float) -> list[int]:
    """Where the axis of requests has its lines: round numbers, the last at or above the highest column."""
    sizes = (one * 10**power for power in range(9) for one in (1, 2, 5))
    step = next(one for one in sizes if highest / one <= _LINES)
    return [step * number for number in range(1, max(math.ceil(highest / step), 1) + 1)]


def _axis(lines: list[int]) -> str:
    """A line and its number for each; 0 at the bottom."""
    places = {line: _ABOVE + _HEIGHT * (1 - line / lines[-1]) for line in [0, *lines]}
    drawn = "".join(
        f'<div style="position:absolute;left:0;right:0;top:{top:.0f}px;border-top:1px dotted"></div>'
        for line, top in places.items()
        if line
    )
    return drawn + "".join(
        f'<span style="position:absolute;right:100%;top:{top - 9:.0f}px;padding-right:6px;'
        f'font-size:12px">{line}</span>'
        for line, top in places.items()
    )


def _columns(counts: pd.DataFrame, top: int) -> str:
    columns = []
    for _, row in counts.iterrows():
        boxes = "".join(
            f'<div style="height:{_HEIGHT * row[one] / top:.1f}px;{_fill(one, counts)}"></div>'
            for one in reversed(counts.columns)
            if row[one]
        )
        columns.append(f'<div style="flex:1 1 0">{boxes}</div>')
    return (
        f'<div style="position:relative;display:flex;align-items:flex-end;height:{_HEIGHT}px;'
        f'border-bottom:1px solid">{"".join(columns)}</div>'
    )


def _ticks(whole: float) -> str:
    step = next((one for one in (1, 2, 5, 10, 30, 60) if whole / one <= _TICKS), 300)
    labels = "".join(
        f'<span style="position:absolute;left:{100 * at / whole:.2f}%">{at}</span>'
        for at in range(0, int(whole) + 1, step)
        if at / whole < 0.96
    )
    unit = '<span style="position:absolute;right:0">s</span>'
    return f'<div style="position:relative;height:20px;font-size:12px">{labels}{unit}</div>'


def _marks(seconds: Mapping[str, float], whole: float) -> str:
    """A numbered line for each moment; those too close together take turns."""
    lines = "".join(
        f'<div style="position:absolute;left:{min(max(100 * at / whole, 0), 99.5):.2f}%;top:0;'
        f'height:{_HEIGHT + _ABOVE}px;border-left:2px dashed"><span style="position:relative;top:0;'
        f'left:{2 if number % 2 else -16}px;font-size:13px;font-weight:bold">{number}</span></div>'
        for number, at in enumerate(seconds.values(), start=1)
    )
    return lines


def _named(seconds: Mapping[str, float]) -> str:
    items = "".join(
        f"<span><strong>{number}</strong> {escape(name)}, {at:.1f} s</span>"
        for number, (name, at) in enumerate(seconds.items(), start=1)
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px 16px;margin-top:4px">{items}</div>'


def _strips(weights: pd.DataFrame, zero: pd.Timestamp, bins: int) -> str:
    """Where the traffic went: a strip for each place, as high as its share."""
    at = (weights.index - zero).total_seconds()
    last = [max(int((at <= (one + 1) * BIN_SECONDS).sum()) - 1, 0) for one in range(bins)]
    strips = [_strip(str(name), list(weights[name]), last) for name in weights]
    return (
        '<div style="margin-top:10px">Where the load balancer sent them, in percent:</div>'
        + "".join(strips)
    )


def _strip(name: str, shares: list[float], last: list[int]) -> str:
    columns = "".join(
        f'<div style="flex:1 1 0;height:{_SHARE_HEIGHT * shares[row] / 100:.1f}px;background:{colours.QUIET}">'
        "</div>"
        for row in last
    )
    told = " → ".join(f"{one:.0f}" for one in _changes(shares))
    return (
        f'<div style="margin-top:6px;{_LEFT}">{escape(name)}: {told} %</div>'
        f'<div style="{_LEFT};display:flex;align-items:flex-end;height:{_SHARE_HEIGHT}px;'
        f'border-bottom:1px solid">{columns}</div>'
    )


def _changes(shares: Iterable[float]) -> list[float]:
    """The shares, each once for as long as it stays; of more than five, the ends alone."""
    told: list[float] = []
    for share in shares:
        if not told or round(told[-1]) != round(share):
            told.append(share)
    return told if len(told) <= 5 else [told[0], *told[-1:]]


def _shares(shares: pd.Series[Any]) -> str:
    return ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
