"""What an exercise consists of: what varies, what an answer does to an AWS, and the lines of its grade."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.lab import Lab
from labkit.markup import as_written
from labkit.teach.result import Line, Result, line

Facts = Mapping[str, str]
Answer = Mapping[str, Any]


class NotYetError(Exception):
    """A line cannot be asked before another holds; the message says which, as in "first let the build succeed"."""


class NotTakenError(Exception):
    """AWS does not take a part of the answer; the message is AWS's."""


@contextmanager
def taken(part: str) -> Iterator[None]:
    """Here a part of an answer is given to AWS; what goes wrong is the answer's fault.

    Raises:
        NotTakenError: AWS, or boto3 before it, does not take it.
    """
    try:
        yield
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
        raise NotTakenError(f"AWS does not take your {part}: {code}: {said}") from error
    except (BotoCoreError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise NotTakenError(f"your {part} cannot be used: {error}") from error


@dataclass(frozen=True)
class Check:
    """A line of a grade.

    Args:
        what: what has to hold; `{names}` of the variant are filled in.
        holds: asks the outcome of an answer; raises `NotYetError` where that has not come so far.
        hint: what to do where it does not hold; a function where that depends on the outcome.
        points: what the line is worth.
    """

    what: str
    holds: Callable[[Any], object]
    hint: str | Callable[[Any], str]
    points: float = 1.0

    def ask(self, outcome: Any, facts: Facts) -> Line:
        """The line as it stands in the grade."""
        what = self.what.format_map(facts)
        try:
            found = line(what, "", lambda: self.holds(outcome))
            if found.ok:
                return Line(True, what, points=self.points)
            hint = self.hint if isinstance(self.hint, str) else self.hint(outcome)
            return Line(False, what, f"{hint}{found.todo}", points=self.points)
        except NotYetError as first:
            return Line(False, what, f"not checked yet; {first}", checked=False, points=self.points)


@dataclass(frozen=True)
class Exercise:
    """One exercise, for all students.

    Args:
        title: as in "write the buildspec".
        lesson: the lesson that it is about, as its notebook is called.
        level: 1 asks for what the lesson shows, 2 to put two things together, 3 to find a way.
        given: what varies and is told, such as names and ports; the first of each is the plain variant.
        hidden: what varies and is to be found, such as a fault's place.
        begin: the parts of an answer as a learner gets them.
        prepare: makes in an AWS what the exercise starts from; again, where an attempt has changed it.
        run: does in a prepared AWS what an answer says; returns the outcome that the checks ask.
        checks: the lines of the grade.
    """

    title: str
    lesson: str
    level: int
    given: Mapping[str, Sequence[str]]
    begin: Callable[[Facts], dict[str, Any]]
    prepare: Callable[[Lab, Facts], object]
    run: Callable[[Lab, Facts, Answer], Any]
    checks: Sequence[Check]
    hidden: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """What the whole is worth."""
        return sum(check.points for check in self.checks)


@dataclass(frozen=True, repr=False)
class Grade(Result):
    """A result that counts.

    Args:
        note: whose variant it was graded as, and anything else that the reader should know.
    """

    note: str = ""

    @property
    def points(self) -> float:
        """The points of the lines that hold; nbgrader takes them as the cell's value."""
        return float(sum(line.points for line in self.lines if line.ok))

    @property
    def score(self) -> str:
        """For example "5 of 6"."""
        return f"{self.points:g} of {sum(line.points for line in self.lines):g}"

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.note, super().__repr__()]))

    def _repr_html_(self) -> str:
        note = as_written(f"<p>{escape(self.note)}</p>") if self.note else ""
        return note + super()._repr_html_()
