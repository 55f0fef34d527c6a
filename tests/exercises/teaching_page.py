"""Writes the tables of docs/teaching.md from the exercises and their wrong attempts: `make docs`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from labkit.teach.exercises import NAMES, exercise
from tests.exercises.answers import notebook
from tests.notebooks.reading import read

PAGE = Path(__file__).resolve().parents[2] / "docs" / "teaching.md"
ATTEMPTS = tomllib.loads(Path(__file__).with_name("attempts.toml").read_text(encoding="utf-8"))
GENERATED = re.compile(r"(<!-- (\w+): make docs -->\n).*?(<!-- end -->)", re.DOTALL)


def exercises() -> str:
    """One row an exercise."""
    rows = ["| exercise | lesson | level | points | minutes |", "|---|---|---|---|---|"]
    for number, name in enumerate(NAMES, start=1):
        found = exercise(name).exercise
        minutes = re.search(r"· (\d+) minutes ·", read(notebook(name)).cells[0].source)
        assert minutes, name
        link = f"[{number} {found.title}](../exercises/{notebook(name).name})"
        rows.append(
            f"| {link} | {found.lesson} | {found.level} | {found.points:g} | {minutes.group(1)} |"
        )
    return "\n".join(rows) + "\n"


def mistakes() -> str:
    """What is often got wrong, with the points that it earns."""
    rows = [
        "| exercise | a wrong answer | points | what the grade says of it |",
        "|---|---|---|---|",
    ]
    for name in NAMES:
        title = exercise(name).exercise.title
        for attempt in ATTEMPTS[name]:
            said = "; ".join(attempt["says"])
            rows.append(f"| {title} | {attempt['name']} | {attempt['points']} | {said} |")
    return "\n".join(rows) + "\n"


def written() -> str:
    """The page with its tables as they should be."""
    tables = {"exercises": exercises, "mistakes": mistakes}
    return GENERATED.sub(
        lambda found: f"{found.group(1)}{tables[found.group(2)]()}{found.group(3)}",
        PAGE.read_text(encoding="utf-8"),
    )


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
