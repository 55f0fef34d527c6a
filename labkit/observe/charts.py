"""What all charts have in common: they follow the page's theme and width, and can be read by ear.

A chart is HTML without a style sheet or a script: boxes as wide as what they stand for, and text. What a
notebook that is not trusted may not show is not in it (JupyterLab keeps no `currentColor`, no variable and no
SVG there). Every chart comes with a text that says what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from labkit import colours
from labkit.markup import as_written

_LONGEST = 60.0  # percent of the row for the longest bar; the rest is for what is said beside it
GAP = "transparent"  # the colour of a piece of a bar that is none
_NAMED = 14.0  # percent of the row that a segment needs to have its name in it
_PAGE = (
    '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    '<title>{title}</title><body style="font-family:sans-serif;max-width:60em;margin:1em auto">{chart}</body></html>'
)


@dataclass(frozen=True)
class Chart:
    """A picture as HTML, and the text that stands for it: its alternative text, and the line below it."""

    html: str
    alt: str

    def save(self, path: str | Path) -> Path:
        """Write the chart as a page to `path`, making its directory; returns the path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        title = escape(self.alt.partition(":")[0])
        target.write_text(_PAGE.format(title=title, chart=self._repr_html_()))
        return target

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        text = escape(self.alt)
        picture = f'<div role="img" aria-label="{text}" title="{text}">{self.html}</div>'
        caption = f'<figcaption style="margin-top:8px">{text}</figcaption>'
        return as_written(f'<figure style="margin:0;max-width:60em">{picture}{caption}</figure>')


@dataclass(frozen=True)
class Segment:
    """A piece of a bar: how long it is, its colour, and what it is called in the legend."""

    length: float
    colour: str
    label: str = ""


@dataclass
class Row:
    """A bar: its name, where it begins, its pieces, and what is said at its end."""

    name: str
    said: str = ""
    start: float = 0.0
    segments: list[Segment] = field(default_factory=list)

    @property
    def end(self) -> float:
        """Where the last piece ends."""
        return self.start + sum(one.length for one in self.segments)


def bars(title: str, unit: str, rows: Sequence[Row], alt: str) -> Chart:
    """Horizontal bars, one below the other, all on one scale.

    Args:
        unit: what the lengths are, in words.
        alt: what the chart shows, in words.
    """
    whole = max((row.end for row in rows), default=0.0) or 1.0
    lines = "".join(_bar(row, whole) for row in rows)
    legend_ = legend(
        {
            one.label: one.colour
            for row in rows
            for one in row.segments
            if one.length > 0 and one.label
        }
    )
    return Chart(f"{heading(title, unit)}{lines}{legend_}", alt)


def heading(title: str, unit: str) -> str:
    """The line above a chart: what it shows, and in which unit."""
    return (
        f'<div style="margin-bottom:6px"><strong>{escape(title)}</strong> '
        f"<small>({escape(unit)})</small></div>"
    )


def legend(entries: Mapping[str, str]) -> str:
    """What the colours mean, if there are several: a swatch and a name for each."""
    if len(entries) < 2:
        return ""
    shown = "".join(
        f"<span>{swatch(colour)}{escape(label)}</span>" for label, colour in entries.items()
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px 16px;margin-top:6px">{shown}</div>'


def swatch(colour: str) -> str:
    """A small box of a colour, before the word for it."""
    return (
        '<span style="display:inline-block;width:11px;height:11px;margin-right:5px;'
        f'background:{colour}"></span>'
    )


def empty(title: str, why: str) -> Chart:
    """A chart of nothing, which says so."""
    text = f'<div style="padding:12px 0">{escape(why)}</div>'
    return Chart(f"<div><strong>{escape(title)}</strong></div>{text}", f"{title}: {why}")


def chart_times(times: Mapping[str, float], title: str = "How long each build took") -> Chart:
    """The same work done in several ways: a bar for each, and how many times as fast as the first.

    Args:
        times: seconds, by what each is called; the first is what the others are compared with.
    """
    if not times:
        return empty(title, "nothing has been measured yet")
    first = next(iter(times.values()))
    rows, said = [], []
    for number, (name, seconds) in enumerate(times.items()):
        faster = "" if number == 0 or seconds <= 0 else f", {first / seconds:.1f} times as fast"
        one = Segment(seconds, colours.of_kind(min(number, 1)))
        rows.append(Row(name, f"{seconds:.1f} s{faster}", segments=[one]))
        said.append(f"{name} {seconds:.1f} s{faster}")
    return bars(title, "seconds, from start to end", rows, f"{title}: {'; '.join(said)}.")


def _bar(row: Row, whole: float) -> str:
    before = _LONGEST * row.start / whole
    gap = f'<div style="flex:0 0 {before:.2f}%"></div>' if before >= 0.01 else ""
    pieces = "".join(_piece(one, _LONGEST * one.length / whole) for one in row.segments)
    name = "<br>".join(escape(part) for part in row.name.splitlines())
    return (
        '<div style="display:flex;align-items:center;gap:10px;margin:3px 0;line-height:1.25">'
        f'<div style="flex:0 0 26%;text-align:right;overflow-wrap:anywhere">{name}</div>'
        f'<div style="flex:1 1 0;display:flex;align-items:center">{gap}{pieces}'
        f'<div style="flex:1 1 0;padding-left:6px">{escape(row.said)}</div></div></div>'
    )


def _piece(one: Segment, percent: float) -> str:
    if one.length <= 0:
        return ""
    text = escape(one.label) if percent >= _NAMED else ""
    if one.colour == GAP:
        return f'<div style="flex:0 0 {percent:.2f}%"></div>'
    return (
        f'<div title="{escape(one.label)}" style="flex:0 0 {percent:.2f}%;min-width:2px;height:22px;'
        f"background:{one.colour};color:{colours.ON_COLOUR};font-size:12px;line-height:22px;"
        'overflow:hidden;text-align:center;box-sizing:border-box;border-right:1px solid">'
        f"{text}</div>"
    )
