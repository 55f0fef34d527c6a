"""The whole pipeline in one picture, with the piece of today's lesson marked: "you are here".

A pure function of the marked piece: the same HTML every time, with its meaning in words. It takes the page's
colours, and wraps where the page is narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from labkit.colours import ON_COLOUR, YOURS
from labkit.markup import as_written

# pieces in the order they are built; "observe" comes last
ORDER = ("source", "roles", "artifacts", "build", "deploy", "pipeline", "observe")


@dataclass(frozen=True)
class Box:
    """A box of the picture: the piece it belongs to, if to one, and two lines of text."""

    piece: str
    title: str
    text: str


PUSH = Box("", "git push", "you, with a change")
FRAME = Box("pipeline", "CodePipeline", "runs the stages in order")
STAGES = (
    Box("source", "CodeCommit", "Source: the repository"),
    Box("build", "CodeBuild", "Build: build and test"),
    Box("deploy", "CodeDeploy", "Deploy: host after host"),
)
HOSTS = Box("deploy", "EC2 instances", "the site answers here")
STORE = Box("artifacts", "S3 bucket", "↓↑ artifacts: what a stage makes, the next one takes")
BELOW = (
    Box("roles", "IAM roles", "who may do what: one role for each service"),
    Box("observe", "CloudWatch, history", "logs, durations, outcomes, costs"),
)
BOXES = (PUSH, FRAME, *STAGES, HOSTS, STORE, *BELOW)
ARROW = '<div style="align-self:center;font-size:20px">→</div>'
_ROW = "display:flex;flex-wrap:wrap;gap:8px;align-items:stretch"
_DESCRIPTION = (
    "A git push goes to the CodeCommit repository, which is the Source stage of CodePipeline. "
    "The Build stage runs CodeBuild, the Deploy stage runs CodeDeploy, which installs the release "
    "on the EC2 instances. Between the stages the artifacts lie in an S3 bucket. "
    "Each service acts as its own IAM role; CloudWatch and the services' histories show what happened."
)


@dataclass(frozen=True)
class Diagram:
    """A picture as HTML, and the text that stands for it."""

    html: str
    alt: str

    def _repr_html_(self) -> str:
        return as_written(
            f'<div role="img" aria-label="{escape(self.alt)}" style="max-width:72em">{self.html}</div>'
        )

    def __repr__(self) -> str:
        return self.alt


def diagram(here: str | None = None) -> Diagram:
    """The pipeline, with one piece marked.

    Args:
        here: a name of `ORDER`: that piece is marked, those built later are dashed. None marks
            nothing and shows all of it built.

    Raises:
        ValueError: there is no such piece.
    """
    if here is not None and here not in ORDER:
        raise ValueError(f"no piece {here!r}; there are {', '.join(ORDER)}")
    title = "The pipeline" + (f"; you are here: {here}" if here else "")
    alt = f"{title}. {_DESCRIPTION}" + _still_to_come(here)
    stages = ARROW.join(_box(one, here) for one in STAGES)
    frame = _box(FRAME, here, f'<div style="{_ROW};margin-top:6px">{stages}</div>', grow=6)
    rows = [
        f"{_box(PUSH, here)}{ARROW}{frame}{ARROW}{_box(HOSTS, here)}",
        _box(STORE, here),
        "".join(_box(one, here) for one in BELOW),
    ]
    html = "".join(f'<div style="{_ROW};margin-bottom:8px">{row}</div>' for row in rows)
    return Diagram(html, alt)


def box(title: str, text: str, border: str, inside: str = "", *, grow: int = 1) -> str:
    """A box with a bold line and a smaller one, and what is in it."""
    return (
        f'<div style="flex:{grow} 1 auto;box-sizing:border-box;padding:6px 10px;border-radius:6px;'
        f'text-align:center;line-height:1.35;{border}"><strong>{title}</strong><br>'
        f"<small>{escape(text)}</small>{inside}</div>"
    )


def _box(one: Box, here: str | None, inside: str = "", *, grow: int = 1) -> str:
    marked = bool(here) and one.piece == here
    later = here is not None and one.piece in ORDER and ORDER.index(one.piece) > ORDER.index(here)
    border = f"border:4px solid {YOURS}" if marked else f"border:1px {_line(later)}"
    title = escape(one.title) + (f" {_flag()}" if marked else "")
    return box(title, one.text, border, inside, grow=grow)


def _line(later: bool) -> str:
    return "dashed" if later else "solid"


def _flag() -> str:
    """The words, so that the mark does not hang on its colour."""
    return (
        f'<span style="background:{YOURS};color:{ON_COLOUR};border-radius:9px;padding:1px 8px;'
        'font-size:12px;white-space:nowrap">you are here</span>'
    )


def _still_to_come(here: str | None) -> str:
    later = ORDER[ORDER.index(here) + 1 :] if here else ()
    return f" Dashed, still to come: {', '.join(later)}." if later else ""
