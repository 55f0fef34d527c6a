"""An exercise for one student: the variant that is theirs, and the grade of what they hand in."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from html import escape
from pathlib import Path
from typing import Any

from labkit.lab import Lab
from labkit.markup import as_written
from labkit.teach.exercises.fresh import fresh_lab
from labkit.teach.exercises.model import Exercise, Grade, NotTakenError
from labkit.teach.result import Line


def student_id(typed: str = "") -> str:
    """Whose variant it is: "" is the plain one, which the solutions solve.

    `LABKIT_STUDENT` goes first, even where it is empty; then, while nbgrader grades, the student's
    folder; then what was typed; then JupyterHub's user.
    """
    if (named := os.environ.get("LABKIT_STUDENT")) is not None:
        return named
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        return Path.cwd().parent.name  # nbgrader's {nbgrader_step}/{student_id}/{assignment_id}
    return typed or os.environ.get("JUPYTERHUB_USER", "")


class Task:
    """One student's exercise.

    Attributes:
        given: the names, ports and so on of this variant.
    """

    def __init__(self, name: str, exercise: Exercise, student: str, worked_as: str = "") -> None:
        self.name, self.exercise, self.student = name, exercise, student
        self._worked_as = worked_as
        draw = random.Random(f"{student}/{name}")
        self.given = _drawn(exercise.given, draw, plain=not student)
        self._hidden = _drawn(exercise.hidden, draw, plain=not student)

    @property
    def facts(self) -> dict[str, str]:
        """All that this variant is made of, the fault's place too."""
        return {**self.given, **self._hidden}

    @property
    def begin(self) -> dict[str, Any]:
        """The parts of an answer as they are to begin with; made anew each time, so that they may be changed."""
        return self.exercise.begin(self.facts)

    def grade(self, **answer: Any) -> Grade:
        """Grade an answer in a lab of its own; nobody else's, nor an earlier one, is in there.

        Raises:
            LabError: no lab could be started for it.
            TypeError: a part of the answer has another name than in `begin`.
        """
        if unknown := answer.keys() - self.begin.keys():
            raise TypeError(f"there is no part {', '.join(sorted(unknown))} in this exercise")
        if why := self._nothing_handed_in(answer):
            return self._unchecked(why)
        with fresh_lab(self.given["name"]) as lab, _quietly():
            self.prepare(lab)
            return self.try_out(lab, **answer)

    @property
    def lab(self) -> Lab:
        """The learner's usual lab, in which they work; what is made there is called as in the grade's.

        Raises:
            LabError: none runs.
        """
        return Lab(self.given["name"])

    def prepare(self, lab: Lab) -> None:
        """Make in a lab what the exercise starts from; again, where something has been changed."""
        self.exercise.prepare(lab, self.facts)

    def try_out(self, lab: Lab, **answer: Any) -> Grade:
        """Do in a prepared lab what an answer says, and say what came of it, which can be looked at there."""
        whole = {**self.begin, **{part: text for part, text in answer.items() if text is not None}}
        try:
            outcome = self.exercise.run(lab, self.facts, whole)
        except NotTakenError as error:
            return self._unchecked(str(error))
        lines = [check.ask(outcome, self.facts) for check in self.exercise.checks]
        return Grade(self.exercise.title, tuple(lines), self._note)

    def _nothing_handed_in(self, answer: Mapping[str, Any]) -> str:
        """Why there is nothing to grade; "" where there is."""
        handed_in = {part: value for part, value in answer.items() if value is not None}
        if not handed_in:
            return "nothing was handed in: the cell with your answer is empty, or ended in an error"
        if all(value == self.begin[part] for part, value in handed_in.items()):
            return "nothing was handed in: this is what you began with"
        return ""

    def _unchecked(self, why: str) -> Grade:
        lines = [
            Line(False, one.what.format_map(self.facts), why, checked=False, points=one.points)
            for one in self.exercise.checks
        ]
        return Grade(self.exercise.title, tuple(lines), self._note)

    @property
    def _note(self) -> str:
        who = f"The variant of {self.student}." if self.student else ""
        if self._worked_as and self._worked_as != self.student:
            return f"{who} The notebook was worked on as the variant of {self._worked_as}.".strip()
        return who

    def __repr__(self) -> str:
        whose = f"Yours, {self.student}:" if self.student else "Yours:"
        return "\n".join([whose, *(f"  {name}: {value}" for name, value in self.given.items())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>"
            for name, value in self.given.items()
        )
        whose = f"Yours, {escape(self.student)}" if self.student else "Yours"
        return as_written(f"<table><caption>{whose}</caption><tbody>{rows}</tbody></table>")


@contextmanager
def _quietly() -> Iterator[None]:
    """Nothing is printed: nbgrader takes a word on standard error for a failure."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def _drawn(
    choices: Mapping[str, Sequence[str]], draw: random.Random, *, plain: bool
) -> dict[str, str]:
    return {name: values[0] if plain else draw.choice(values) for name, values in choices.items()}
