"""The phases of a build in one picture: the way that all take, and where a failure leads.

AWS pages: "View build details in AWS CodeBuild"; "Build phase transitions".
"""

from __future__ import annotations

from html import escape

from labkit.show.diagram import Diagram

# phase, what it does, and what a command's or the phase's failure leads to
PHASES = (
    ("SUBMITTED", "StartBuild", ""),
    ("QUEUED", "waits for its turn", ""),
    ("PROVISIONING", "finds a machine", "end"),
    ("DOWNLOAD_SOURCE", "source, buildspec, cache", "end"),
    ("INSTALL", "your commands", "end"),
    ("PRE_BUILD", "your commands", "end"),
    ("BUILD", "your commands", "next"),
    ("POST_BUILD", "your commands", "next"),
    ("UPLOAD_ARTIFACTS", "reports, artifacts, cache", "next"),
    ("FINALIZING", "cleans up", ""),
)
_WIDTH, _HEIGHT = 920, 250
_BOX, _TALL, _LEFT, _STEP, _ROWS = 168, 54, 14, 181, (40, 150)
_INK, _LINE, _BAD, _YOURS = "#1b1f24", "#57606a", "#b3261e", "#dcebfb"
_ALT = (
    "The phases of a build, in order: "
    + ", ".join(name for name, _, _ in PHASES)
    + ". A failure in PROVISIONING, DOWNLOAD_SOURCE, INSTALL or PRE_BUILD leads straight to "
    "FINALIZING. After a failure in BUILD, POST_BUILD and UPLOAD_ARTIFACTS still run; after one in "
    "POST_BUILD, UPLOAD_ARTIFACTS does. The build ends FAILED in each case."
)


def phase_map() -> Diagram:
    """The phases of a build, and what still runs after each fails."""
    parts = [_arrow(number) for number in range(len(PHASES) - 1)]
    parts += [_box(number) for number in range(len(PHASES))]
    return Diagram(_svg([*parts, _legend()]), _ALT)


def _place(number: int) -> tuple[int, int]:
    return _LEFT + _STEP * (number % 5), _ROWS[number // 5]


def _box(number: int) -> str:
    name, text, failure = PHASES[number]
    x, y = _place(number)
    fill = _YOURS if text == "your commands" else "#ffffff"
    middle = x + _BOX // 2
    shape = (
        f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_TALL}" rx="6" fill="{fill}" '
        f'stroke="{_LINE}" stroke-width="1.2"/>'
        f'<text x="{middle}" y="{y + 23}" font-size="13" font-weight="bold" text-anchor="middle" '
        f'fill="{_INK}">{name}</text>'
        f'<text x="{middle}" y="{y + 42}" font-size="11" text-anchor="middle" fill="{_LINE}">'
        f"{escape(text)}</text>"
    )
    return shape + (_failure(x, y, failure) if failure else "")


def _failure(x: int, y: int, failure: str) -> str:
    text = "✘ to FINALIZING" if failure == "end" else "✘ to the next phase"
    return (
        f'<text x="{x + _BOX // 2}" y="{y + _TALL + 17}" font-size="11" text-anchor="middle" '
        f'fill="{_BAD}">{text}</text>'
    )


def _arrow(number: int) -> str:
    x, y = _place(number)
    middle = y + _TALL // 2
    if number == 4:  # from the end of the first row to the beginning of the second
        right, below, left = x + _BOX + 6, _ROWS[1] - 18, _LEFT + _BOX // 2
        line = f"M{x + _BOX} {middle} H{right} V{below} H{left} V{_ROWS[1] - 2}"
    else:
        line = f"M{x + _BOX} {middle} H{x + _STEP - 2}"
    return (
        f'<path d="{line}" fill="none" stroke="{_LINE}" stroke-width="1.6" '
        'marker-end="url(#head)"/>'
    )


def _legend() -> str:
    return (
        f'<text x="{_LEFT}" y="22" font-size="12" fill="{_LINE}">Blue: phases of the buildspec. '
        f'<tspan fill="{_BAD}">✘ where the build goes on when the phase fails.</tspan></text>'
    )


def _svg(parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'width="{_WIDTH}" height="{_HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
            "<title>The phases of a build</title>",
            f"<desc>{escape(_ALT)}</desc>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" '
            f'markerHeight="6" orient="auto"><path d="M0 0L10 5L0 10z" fill="{_LINE}"/></marker></defs>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
            *parts,
            "</svg>",
        ]
    )
