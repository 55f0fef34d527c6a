"""Writes docs/lessons.md from the notebooks: how long each lesson is, and how much of it one writes. `make docs`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.teach import edition
from tests.notebooks.execute import all_lessons

PATH = Path(__file__).resolve().parents[2] / "docs" / "lessons.md"
MOST_MINUTES = 45
WORDS_A_MINUTE = 200
MINUTES_A_STEP, MINUTES_A_GUESS = 2.5, 0.5

_HEAD = """# Lessons

Written from the notebooks by `make docs`; a test compares it.

`labkit lab` opens the learner's edition: the lessons without results, and with cells to write. It is made from
`notebooks/`, where all answers are, and laid into the course folder (`labkit-course`). The complete lessons lie
beside it in `reference`; `labkit lab --reference` opens those. What a learner has worked in is never overwritten: a
newer version of it goes to `new-in-VERSION`, and the map in the welcome says so.

*Said* is what the lesson tells the learner, in minutes. *Reckoned* is {words} words a minute, {step} minutes for a
cell to write and {guess} for a guess; waiting is in neither. *To write* has calls, policies, buildspecs and the like;
*to guess* what will happen, before it does.

| lesson | said | reckoned | words | cells | to write | to guess |
|---|---|---|---|---|---|---|"""


def text() -> str:
    """The whole page."""
    head = _HEAD.format(words=WORDS_A_MINUTE, step=MINUTES_A_STEP, guess=MINUTES_A_GUESS)
    return "\n".join([head, *_rows()]) + "\n"


def reckoned(path: Path) -> float:
    """How many minutes a learner reads and writes."""
    written, guessed = _steps(path)
    return (
        _words(path) / WORDS_A_MINUTE
        + len(written) * MINUTES_A_STEP
        + len(guessed) * MINUTES_A_GUESS
    )


def said(path: Path) -> int | None:
    """How many minutes the lesson says it takes."""
    found = re.search(r"Allow\s+(\d+)\s+minutes", _source(_cells(path)[0]))
    return int(found[1]) if found else None


def _rows() -> Iterator[str]:
    for path in all_lessons():
        written, guessed = _steps(path)
        title = _source(_cells(path)[0]).splitlines()[0].removeprefix("# ")
        figures = [said(path) or "", round(reckoned(path)), _words(path), len(_cells(path))]
        shown = [f"[{title}](../notebooks/{path.name})", *figures, len(written), len(guessed)]
        yield f"| {' | '.join(map(str, shown))} |"


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return cells


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _words(path: Path) -> int:
    return sum(
        len(_source(cell).split()) for cell in _cells(path) if cell["cell_type"] == "markdown"
    )


def _steps(path: Path) -> tuple[list[str], list[str]]:
    """The ids of the steps that are written, and of those that are guessed."""
    steps = [step for cell in _cells(path) if (step := edition.step_of(cell))]
    return [one.id for one in steps if not one.choices], [one.id for one in steps if one.choices]


if __name__ == "__main__":
    PATH.write_text(text())
