"""What the learner has done: the steps that were right, and what they predicted.

It lies in the learner's course folder; where the lessons were opened without one, with the lab.
"""

from __future__ import annotations

import contextlib
import json
import os
from html import escape
from pathlib import Path
from typing import Any

from labkit import course
from labkit.teach import steps

_FILE = ".labkit-progress.json"
_KINDS = ("done", "guesses")


def guessed(step_id: str, guess: str) -> None:
    """Keep what the learner predicts."""
    _change("guesses", {step_id: guess})


def guess(step_id: str) -> str | None:
    """What the learner predicted; None if nothing yet."""
    found: str | None = _read()["guesses"].get(step_id)
    return found


def done(step_id: str) -> None:
    """Keep that a step is done."""
    _change("done", {step_id: True})


def done_of(lesson: str) -> list[str]:
    """The ids of a lesson's steps that are done."""
    known = _read()["done"]
    return [step_id for step_id in steps.of_lesson(lesson) if step_id in known]


def forget(lesson: str) -> None:
    """Nothing of this lesson is done, and nothing of it predicted."""
    _change("done", dict.fromkeys(steps.of_lesson(lesson)))
    _change("guesses", dict.fromkeys(steps.of_lesson(lesson)))


class CourseMap:
    """The lessons, with how many of each one's steps are done, and what is newer beside them."""

    def __init__(self) -> None:
        self._rows = [_row(path) for path in sorted(course.source.glob("notebooks/*.ipynb"))]
        self._newer = course.newer(_folder())

    def __repr__(self) -> str:
        lines = [f"{title:<50} {steps_done}" for _, title, steps_done in self._rows]
        return "\n".join([*lines, *map(_news, self._newer)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left"><a href="{name}">{escape(title)}</a></td>'
            f"<td>{steps_done}</td></tr>"
            for name, title, steps_done in self._rows
        )
        news = "".join(f"<p>{escape(_news(name))}</p>" for name in self._newer)
        return f"<table><tr><th>lesson</th><th>steps done</th></tr>{rows}</table>{news}"


def course_map() -> CourseMap:
    """Where the learner is in the course."""
    return CourseMap()


def _row(path: Path) -> tuple[str, str, str]:
    number = steps.lesson_of(path.name)
    heading = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    title = heading.splitlines()[0].removeprefix("# ")
    steps_of_it = steps.of_lesson(number)
    return path.name, title, f"{len(done_of(number))} of {len(steps_of_it)}" if steps_of_it else ""


def _news(name: str) -> str:
    return f"You have worked in this lesson, so its new version lies beside yours: {name}"


def _folder() -> Path:
    named = Path(os.environ.get(course.NAMED, ""))
    return named if course.is_laid(named) else Path(os.environ["LABKIT_STATE_DIR"])


def _read() -> dict[str, dict[str, Any]]:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads((_folder() / _FILE).read_text(encoding="utf-8"))
        return {kind: dict(known[kind]) for kind in _KINDS}
    return {kind: {} for kind in _KINDS}


def _change(kind: str, news: dict[str, Any]) -> None:
    """Merge: a value of None takes its key away."""
    known = _read()
    merged = {key: value for key, value in (known[kind] | news).items() if value is not None}
    half = _folder() / f"{_FILE}.new"
    half.write_text(json.dumps(known | {kind: merged}, indent=1), encoding="utf-8")
    half.replace(_folder() / _FILE)
