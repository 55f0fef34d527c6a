"""What all charts have in common: they can be read in grey, by ear, and byte for byte again.

Bars differ by hatch and label, not by colour alone; the colours (`petroff10`) are for readers who
are colour-blind too; every chart comes with a text that says what it shows.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.markup import as_written

COLOURS: Sequence[Any] = matplotlib.color_sequences["petroff10"]
HATCHES = ("", "//", "..", "xx", "--", "\\\\", "oo", "||", "++", "**")
DOTS_PER_INCH = 100
# no date, no version: the same figure gives the same bytes
_METADATA = {"Software": None}


@dataclass(frozen=True, eq=False)
class Chart:
    """A figure and the text that stands for it.

    In a notebook it is an image with `alt` as its alternative text, and `alt` as the line below.
    """

    figure: Figure
    alt: str

    def png(self) -> bytes:
        """The chart as a PNG file."""
        return self._png

    @cached_property
    def _png(self) -> bytes:
        # once: drawn again, the layout would move a little
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata=_METADATA)
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the PNG to `path`, making its directory; returns the path."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.png())
        return target

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        text, data = html.escape(self.alt), base64.b64encode(self.png()).decode()
        image = f'<img alt="{text}" src="data:image/png;base64,{data}" style="max-width:100%">'
        return as_written(f"<figure>{image}<figcaption>{text}</figcaption></figure>")


def new_axes(rows: int, title: str, unit: str) -> tuple[Figure, Axes]:
    """A figure for `rows` horizontal bars, with its title and the unit of its x axis."""
    figure = Figure(figsize=(9, 1.4 + 0.42 * max(rows, 1)), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(unit)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.grid(True, color="0.9")
    axes.set_axisbelow(True)
    return figure, axes


def bar(
    axes: Axes, row: float, start: float, width: float, style: int, label: str | None = None
) -> None:
    """One segment of a horizontal bar, in the style (colour and hatch) of that number."""
    axes.barh(
        row,
        width,
        left=start,
        height=0.62,
        label=label,
        color=COLOURS[style % len(COLOURS)],
        hatch=HATCHES[style % len(HATCHES)],
        edgecolor="white",
        linewidth=0.8,
    )


def name_rows(axes: Axes, names: list[str]) -> None:
    """Name the rows, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def legend(axes: Axes) -> None:
    """The legend below the axes, one entry for each label."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.figure.legend(
        list(unique.values()),
        list(unique),
        loc="outside lower center",
        ncols=min(len(unique), 5),
        frameon=False,
        fontsize=9,
        handleheight=1.4,
    )


def empty(title: str, why: str) -> Chart:
    """A chart of nothing, which says so."""
    figure, axes = new_axes(1, title, "")
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)
    return Chart(figure, f"{title}: {why}")


def chart_times(times: Mapping[str, float], title: str = "How long each build took") -> Chart:
    """The same work done in several ways: a bar for each, and how many times as fast as the first.

    Args:
        times: seconds, by what each is called; the first is what the others are compared with.
    """
    if not times:
        return empty(title, "nothing has been measured yet")
    first = next(iter(times.values()))
    figure, axes = new_axes(len(times), title, "seconds, from start to end")
    said = []
    for row, (name, seconds) in enumerate(times.items()):
        bar(axes, row, 0, seconds, 0 if row == 0 else 1)
        faster = "" if row == 0 or seconds <= 0 else f", {first / seconds:.1f} times as fast"
        axes.text(seconds, row, f" {seconds:.1f} s{faster}", va="center", fontsize=9)
        said.append(f"{name} {seconds:.1f} s{faster}")
    axes.margins(x=0.3)
    name_rows(axes, list(times))
    return Chart(figure, f"{title}: {'; '.join(said)}.")
