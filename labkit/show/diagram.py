"""The whole pipeline in one picture, with the piece of today's lesson marked: "you are here".

A pure function of the marked piece: the same SVG text every time, with its meaning in words.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

# pieces in the order they are built; "observe" comes last
ORDER = ("source", "roles", "artifacts", "build", "deploy", "pipeline", "observe")
WIDTH, HEIGHT = 920, 356
_INK, _LINE, _HERE, _HERE_FILL = "#1b1f24", "#57606a", "#0b57a4", "#dcebfb"


@dataclass(frozen=True)
class Box:
    """A box of the picture: the piece it belongs to, two lines of text, and where it is."""

    piece: str
    title: str
    text: str
    x: int
    y: int
    width: int = 150
    height: int = 62


BOXES = (
    Box("pipeline", "CodePipeline", "runs the stages in order", 176, 30, 560, 128),
    Box("", "git push", "you, with a change", 10, 78, 130),
    Box("source", "CodeCommit", "Source: the repository", 190, 78),
    Box("build", "CodeBuild", "Build: build and test", 380, 78),
    Box("deploy", "CodeDeploy", "Deploy: host after host", 570, 78),
    Box("deploy", "EC2 instances", "the site answers here", 768, 78, 142),
    Box("artifacts", "S3 bucket", "artifacts between the stages", 190, 196, 530, 50),
    Box("roles", "IAM roles", "who may do what: one role for each service", 10, 284, 440, 50),
    Box("observe", "CloudWatch, history", "logs, durations, outcomes, costs", 470, 284, 440, 50),
)
# from one point to another
_ARROWS = (
    (140, 109, 188, 109),
    (340, 109, 378, 109),
    (530, 109, 568, 109),
    (720, 109, 766, 109),
    (250, 140, 250, 194),
    (425, 194, 425, 142),
    (485, 140, 485, 194),
    (645, 194, 645, 142),
)
_DESCRIPTION = (
    "A git push goes to the CodeCommit repository, which is the Source stage of CodePipeline. "
    "The Build stage runs CodeBuild, the Deploy stage runs CodeDeploy, which installs the release "
    "on the EC2 instances. Between the stages the artifacts lie in an S3 bucket. "
    "Each service acts as its own IAM role; CloudWatch and the services' histories show what happened."
)


@dataclass(frozen=True)
class Diagram:
    """An SVG picture and the text that stands for it."""

    svg: str
    alt: str

    def _repr_html_(self) -> str:
        # as an image it is also shown in a notebook that is not trusted yet
        data = base64.b64encode(self.svg.encode()).decode()
        image = f'<img alt="{escape(self.alt)}" src="data:image/svg+xml;base64,{data}"'
        return f'{image} style="max-width:100%;background:#fff">'

    def _repr_svg_(self) -> str:
        return self.svg

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
    parts = [_arrow(*points) for points in _ARROWS]
    boxes = [_box(box, here) for box in BOXES]
    return Diagram(_svg(title, alt, [boxes[0], *parts, *boxes[1:]]), alt)


def _svg(title: str, description: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            *parts,
            "</svg>",
        ]
    )


def _box(box: Box, here: str | None) -> str:
    marked = box.piece == here and here is not None
    later = here is not None and box.piece in ORDER and ORDER.index(box.piece) > ORDER.index(here)
    stroke = _HERE if marked else _LINE
    fill = _HERE_FILL if marked else "#ffffff"
    style = f'stroke="{stroke}" stroke-width="{3.5 if marked else 1.2}"'
    style += ' stroke-dasharray="5 4"' if later else ""
    rect = (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" '
        f'fill="{fill}" {style}/>'
    )
    return "".join([rect, *_labels(box), _flag(box) if marked else ""])


def _labels(box: Box) -> list[str]:
    if box.piece == "pipeline":  # a frame around the stages
        return [
            f'<text x="{box.x + 14}" y="{box.y + 22}" font-size="15" font-weight="bold" fill="{_INK}">{box.title}'
            f'<tspan font-size="12" font-weight="normal" fill="{_LINE}"> {box.text}</tspan></text>'
        ]
    x, middle = box.x + box.width / 2, box.y + box.height / 2
    return [
        f'<text x="{x:g}" y="{middle - 3:g}" font-size="15" font-weight="bold" '
        f'text-anchor="middle" fill="{_INK}">{escape(box.title)}</text>',
        f'<text x="{x:g}" y="{middle + 16:g}" font-size="12" text-anchor="middle" '
        f'fill="{_LINE}">{escape(box.text)}</text>',
    ]


def _flag(box: Box) -> str:
    """The words, so that the mark does not hang on its colour."""
    width, x, y = 96.0, box.x + box.width - 104, box.y - 11
    return (
        f'<rect x="{x}" y="{y}" width="{width:g}" height="20" rx="10" fill="{_HERE}"/>'
        f'<text x="{x + width / 2:g}" y="{y + 14}" font-size="12" font-weight="bold" '
        f'text-anchor="middle" fill="#ffffff">you are here</text>'
    )


def _arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    if x1 == x2:
        way = 1 if y2 > y1 else -1
        head = f"{x2},{y2} {x2 - 4},{y2 - 8 * way} {x2 + 4},{y2 - 8 * way}"
    else:
        head = f"{x2},{y2} {x2 - 8},{y2 - 4} {x2 - 8},{y2 + 4}"
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{_LINE}" stroke-width="1.6"/>'
        f'<polygon points="{head}" fill="{_LINE}"/>'
    )


def _still_to_come(here: str | None) -> str:
    later = ORDER[ORDER.index(here) + 1 :] if here else ()
    return f" Dashed, still to come: {', '.join(later)}." if later else ""
