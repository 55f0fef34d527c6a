"""The cells that a learner writes: what each is for, its hints, and what is wrong with an answer.

`<topic>.toml` has the texts of one lesson's steps, as `[[step]]` and `[[prediction]]` tables, and
`<topic>.py` their checks. A check is a plain function; its parameters are the names of a notebook's
variables that it looks at. That of a step yields what is wrong with the answer, worst first, and
nothing if it is right; that of a prediction returns which of the choices came true.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

FOLDER = Path(__file__).parent
LESSONS = {
    "01": "source",
    "02": "roles",
    "03": "build",
    "04": "artifacts",
    "05": "deploy",
    "06": "pipeline",
    "06b": "control",
    "07": "release",
    "08": "build_in_depth",
    "08b": "build_speed",
    "09": "environments",
    "10": "strategies",
    "11": "hooks",
    "12": "least_privilege",
    "13": "accounts",
    "14": "protection",
    "15": "functions",
    "16": "reach",
    "17": "hosts",
}


@dataclass(frozen=True)
class Step:
    """One cell that the learner writes.

    Attributes:
        id: the lesson's number and the step's own, "03.2".
        goal: what to write, in a sentence; for a prediction the question.
        page: the title of the AWS page that says how.
        hints: three, each nearer to the answer.
        check: the name of its function in the topic's module.
        choices: what may be predicted, and why it would be so or not; none for what is not predicted.
    """

    id: str
    goal: str
    page: str
    hints: tuple[str, str, str]
    check: str
    choices: dict[str, str] = field(default_factory=dict)

    @property
    def lesson(self) -> str:
        """The lesson's number, "03", or "06b"."""
        return self.id.partition(".")[0]

    @property
    def number(self) -> int:
        """The step's own number, 2."""
        return int(self.id.partition(".")[2])

    @property
    def function(self) -> Callable[..., Any]:
        """The check itself."""
        found: Callable[..., Any] = resolve_name(f"{__name__}.{LESSONS[self.lesson]}:{self.check}")
        return found


@cache
def of_lesson(number: str) -> dict[str, Step]:
    """The steps of a lesson by their ids, in order; none if it has none."""
    path = FOLDER / f"{LESSONS.get(number)}.toml"
    if not path.exists():
        return {}
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    rows = [*tables.get("step", []), *tables.get("prediction", [])]
    steps = [Step(**{**row, "hints": tuple(row["hints"])}) for row in rows]
    return {step.id: step for step in sorted(steps, key=lambda step: step.number)}


def lesson_of(name: str) -> str:
    """The number of the lesson whose notebook has this name: "06b" of "06b_control.ipynb"."""
    return name.partition("_")[0]


def find(step_id: str) -> Step:
    """The step of that id.

    Raises:
        ValueError: there is none.
    """
    try:
        return of_lesson(step_id.partition(".")[0])[step_id]
    except KeyError:
        raise ValueError(f"there is no step {step_id!r}") from None
