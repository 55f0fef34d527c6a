"""Answers as students hand them in: from the cells of an exercise or its solution, in any variant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from labkit.teach.exercises import NAMES, Task, exercise
from tests.notebooks.reading import read

EXERCISES = Path(__file__).resolve().parents[2] / "exercises"
SOLUTIONS = EXERCISES / "solutions"


def notebook(name: str, where: Path = EXERCISES) -> Path:
    """The notebook of an exercise, or its solution."""
    return where / f"{NAMES.index(name) + 1:02}_{name}.ipynb"


def source(name: str, where: Path = SOLUTIONS) -> str:
    """What the cells of an answer say."""
    cells = read(notebook(name, where)).cells
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in cells]
    found = zip(ids, cells, strict=True)
    return "\n".join(cell.source for one, cell in found if one.startswith("answer-"))


def answer(task: Task, text: str) -> dict[str, Any]:
    """The parts of an answer, as `text` makes them."""
    scope: dict[str, Any] = {"task": task}
    exec(text, scope)
    return {part: scope[part] for part in task.begin}


def translated(text: str, name: str, task: Task) -> str:
    """The plain variant's text with the names, numbers and actions of another's."""
    plain = exercise(name, "").facts
    pattern = "|".join(re.escape(value) for value in sorted(plain.values(), key=len, reverse=True))
    theirs = {value: task.facts[key] for key, value in plain.items()}
    return re.sub(pattern, lambda found: theirs[found.group()], text)
