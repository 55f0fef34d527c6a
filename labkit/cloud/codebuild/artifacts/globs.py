"""The buildspec's globs, for artifacts and caches.

AWS page: "Build specification reference for CodeBuild", artifacts/files. It knows `*` and `**`
alone; in use, `?` is one as well, and `[`, `{` and `!` are names' own characters.
"""

from __future__ import annotations

import re

# whole directories, any number of them; or, elsewhere in a name, any text at all
_CROSSING = re.compile(r"(?:(?<=/)|^)(?:\*\*+/)+|\*\*+")


def pattern(glob: str) -> re.Pattern[str]:
    """A buildspec's glob as a regular expression over a relative path.

    `*` stays within a directory, `**` crosses them, and both match names that begin with a dot.

    Of what lies between two wild cards, the first place that fits is as good as any later one: the
    expression never tries another (`(?>...)`), so that no glob takes long on any name.
    """
    while glob.startswith("./"):
        glob = glob[2:]
    parts = _CROSSING.split(glob)
    crossing = ["(?:.*?/)??" if sign.endswith("/") else ".*?" for sign in _CROSSING.findall(glob)]
    text = _within(parts[0])
    for sign, part in zip(crossing[:-1], parts[1:-1], strict=False):
        text += f"(?>{sign}{_within(part)})"
    if crossing:
        text += crossing[-1] + _within(parts[-1])
    return re.compile(text, re.DOTALL)


def _within(glob: str) -> str:
    """A part of a glob without `**`."""
    return "/".join(_component(part) for part in glob.split("/"))


def _component(glob: str) -> str:
    """A part of a glob without `/`."""
    first, *rest = (re.escape(part).replace(r"\?", "[^/]") for part in re.split(r"\*", glob))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*?{last}"
