"""What a check says: one line for each thing it asked AWS, and how many of them hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from botocore.exceptions import BotoCoreError, ClientError

from labkit.colours import BAD, GOOD, ON_COLOUR, QUIET
from labkit.markup import as_written


@dataclass(frozen=True)
class Line:
    """One thing that was asked: whether it holds, what it is, and what to do when it does not.

    Args:
        checked: False where it could not be asked yet; then it does not hold, and `todo` says what comes first.
        points: what it is worth in a grade.
    """

    ok: bool
    what: str
    todo: str = ""
    checked: bool = True
    points: float = 1.0

    def __str__(self) -> str:
        if self.ok:
            return f"✔ {self.what}"
        return f"{'✘' if self.checked else '○'} {self.what}: {self.todo}"


@dataclass(frozen=True)
class Result:
    """What a check found; it prints as lines, and is a list in a notebook."""

    piece: str
    lines: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        """Whether everything that was asked holds; a check that asked nothing has not passed."""
        return bool(self.lines) and all(line.ok for line in self.lines)

    @property
    def score(self) -> str:
        """For example "5 of 5"."""
        return f"{sum(line.ok for line in self.lines)} of {len(self.lines)}"

    def __repr__(self) -> str:
        return "\n".join([*map(str, self.lines), self.score])

    def _repr_html_(self) -> str:
        return as_written(
            f'<section aria-label="Check of {escape(self.piece)}: {self.score}">'
            f"{self._list()}<p><strong>{self.score}</strong></p></section>"
        )

    def _list(self) -> str:
        """The lines alone, without the score."""
        items = "".join(map(_item, self.lines))
        return f'<ul style="list-style:none;padding-left:0">{items}</ul>'


def line(what: str, todo: str, holds: Callable[[], object]) -> Line:
    """Ask one thing of AWS.

    Args:
        holds: asks; what AWS refuses, and what is not in its answer, does not hold.
    """
    try:
        return Line(bool(holds()), what, todo)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Line(False, what, f"{todo} (AWS says {code})")
    except BotoCoreError as error:
        return Line(False, what, f"{todo} ({error})")
    except (LookupError, TypeError, ValueError, StopIteration):
        return Line(False, what, todo)


def _item(shown: Line) -> str:
    sign, word, colour = ("✔", "Holds", GOOD) if shown.ok else ("✘", "Missing", BAD)
    if not shown.checked:
        sign, word, colour = "○", "Not checked yet", QUIET
    todo = "" if shown.ok else f": {escape(shown.todo)}"
    mark = f'<span role="img" aria-label="{word}" style="background:{colour};color:{ON_COLOUR};padding:0 4px">{sign}</span>'
    return f"<li>{mark} {escape(shown.what)}{todo}</li>"
