"""The interview questions at the end of a lesson: `questions("source")`.

They stand in `questions/<topic>.toml`, as `[[question]]` tables with `ask`, `answer` and `source`
(the titles of the AWS pages that say so). In a notebook each is a disclosure: think, then open it.
"""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from labkit.markup import as_written

FOLDER = Path(__file__).with_name("questions")


@dataclass(frozen=True)
class Question:
    """A question as it is asked, a good answer, and where AWS says so."""

    ask: str
    answer: str
    source: str


@dataclass(frozen=True)
class Questions:
    """The questions of one topic."""

    topic: str
    items: tuple[Question, ...]

    def __repr__(self) -> str:
        return "\n\n".join(
            f"{number}. {item.ask}\n{textwrap.indent(item.answer, '   ')}\n   Source: {item.source}"
            for number, item in enumerate(self.items, start=1)
        )

    def _repr_html_(self) -> str:
        shown = "".join(_details(item) for item in self.items)
        section = (
            f'<section aria-label="Interview questions: {escape(self.topic)}">{shown}</section>'
        )
        return as_written(section)


def questions(topic: str) -> Questions:
    """The interview questions of a lesson.

    Raises:
        ValueError: there is no such topic.
    """
    if topic not in topics():
        raise ValueError(f"no topic {topic!r}; there are {', '.join(topics())}")
    tables = tomllib.loads((FOLDER / f"{topic}.toml").read_text(encoding="utf-8"))["question"]
    return Questions(topic, tuple(Question(**table) for table in tables))


def topics() -> list[str]:
    """The topics there are questions for."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _details(item: Question) -> str:
    return (
        f'<details style="margin:6px 0"><summary><strong>{escape(item.ask)}</strong></summary>'
        f'<p style="margin:6px 0 0 1.2em">{escape(item.answer)}<br>'
        f"<small>Source: {escape(item.source)}</small></p></details>"
    )
