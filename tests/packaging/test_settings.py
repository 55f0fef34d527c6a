"""docs/settings.md has every variable of the lab's own, and none that nothing reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"
CODE = ("labkit", "scripts", "sample_app")
TEXTS = (
    "docs",
    "notebooks",
    "exercises",
    "tests",
    ".ci",
    "Makefile",
    "README.md",
    "CONTRIBUTING.md",
)
NAME = re.compile(r"\bLABKIT_[A-Z0-9_]*[A-Z0-9]\b")


def named_in(*places: str) -> dict[str, Path]:
    """The variables that files name, each with a file that does."""
    paths = [path for place in places for path in (ROOT / place, *(ROOT / place).rglob("*"))]
    texts = {
        path: path.read_text(errors="replace")
        for path in paths
        if path.is_file() and "node_modules" not in path.parts and path.suffix != ".pyc"
    }
    return {name: path for path, text in texts.items() for name in NAME.findall(text)}


def on_the_page() -> set[str]:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in NAME.findall(row.split("|")[1])}


def test_every_variable_has_its_row() -> None:
    unsaid = {name: path for name, path in named_in(*CODE).items() if name not in on_the_page()}
    assert not unsaid, "give it a row in docs/settings.md"


def test_every_row_is_of_a_variable_that_is_read() -> None:
    assert on_the_page() - named_in(*CODE).keys() == set()


def test_nothing_speaks_of_a_variable_that_is_not_there() -> None:
    unknown = {name: path for name, path in named_in(*TEXTS).items() if name not in on_the_page()}
    assert not unknown


@pytest.mark.parametrize("column", range(2, 6))
def test_a_row_says_all_of_it(column: int) -> None:
    table = PAGE.read_text().partition("## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert all(row[column].strip() for row in rows)
