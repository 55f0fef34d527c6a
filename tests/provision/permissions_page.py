"""Writes docs/permissions.md from the table that test_permissions proves. `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import tables

PATH = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
TABLE: dict[str, list[dict[str, Any]]] = tables.read(Path(__file__).with_name("permissions.yaml"))
_HEAD = """# What the pipeline's roles may do, and why

Written by `make docs` from a table that a test proves (`tests/provision/test_permissions.py`): a release
passes with these permissions; each action under *Needed* is taken away by itself, and then the operation
beside it is refused, with a denial that names the action. What stands under *Listed by AWS* can be taken
away in the lab, all of it at once; the page of AWS beside it asks for it on a real account.

The statements with their resources are in `labkit/provision/roles.py`; lesson 2 makes the roles.
"""
_STEPS = {
    "release": "a push and its release",
    "build": "a build of the repository by hand",
    "first report": "a release, whose build is the first to make a report",
}


def text() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(line for who in TABLE for line in _of_role(who))])


def _of_role(who: str) -> Iterator[str]:
    needed = [row for row in TABLE[who] if "refused" in row]
    listed = [row for row in TABLE[who] if "listed" in row]
    yield f"## The role of {who}\n"
    yield "| Needed | in | refused without it |\n|---|---|---|"
    for row in needed:
        step = _STEPS[row.get("step", "release")]
        yield f"| `{row['action']}` | {step} | `{row['refused']}` |"
    yield ""
    if listed:
        yield "| Listed by AWS | on its page |\n|---|---|"
        yield from (f"| `{row['action']}` | {row['listed']} |" for row in listed)
        yield ""


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
