"""A teacher's week with nbgrader's own command: four students hand in, and the gradebook has their points."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from labkit.teach.exercises import NAMES, exercise
from tests.exercises.answers import SOLUTIONS, notebook, translated
from tests.notebooks.reading import read

ATTEMPTS = tomllib.loads(Path(__file__).with_name("attempts.toml").read_text(encoding="utf-8"))
# whatever a cell's limit is, a grade takes seconds
CONFIG = "c = get_config()\nc.Execute.timeout = 300\n"
# nbgrader calls alembic by its name
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
OWN = re.compile(r"# YOUR CODE HERE\nraise NotImplementedError\(\)")
SOLVED = re.compile(r"### BEGIN SOLUTION\n(.*?)\n### END SOLUTION", re.DOTALL)


Cells = list[str]


def right(name: str, cells: Cells) -> tuple[Cells, float]:
    return cells, exercise(name).exercise.points


def attempt(number: int, name: str, cells: Cells) -> tuple[Cells, float]:
    row = ATTEMPTS[name][number]
    for old, new in row.get("replace", []):
        cells = [cell.replace(old, new) for cell in cells]
    return [*cells[:-1], f"{cells[-1]}\n{row.get('then', '')}"], row["points"]


def unreadable(name: str, cells: Cells) -> tuple[Cells, float]:
    return [f"{cell}\nthis is (no Python" for cell in cells], 0.0


# what each makes of the solution's cells, and the points that it is worth
STUDENTS: Mapping[str, Callable[[str, Cells], tuple[Cells, float]]] = {
    "ada": right,
    "ben": partial(attempt, 0),
    "cleo": partial(attempt, 1),
    "dan": unreadable,
}


def nbgrader(course: Path, *arguments: str) -> str:
    """Run nbgrader in a course, in an environment in which no lab runs; returns what it said."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "LABKIT_", "JUPYTER")) or name == "LABKIT_ISOLATION"
    }
    place = {"HOME": str(course), "IPYTHONDIR": str(course / ".ipython"), "PATH": PATH}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=own | place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def hand_in(course: Path, student: str, name: str) -> float:
    """Hand in what a student makes of the released notebook, in their own variant; returns its points."""
    import nbformat

    file, task = notebook(name, SOLUTIONS), exercise(name, student)
    released = read(course / "release" / "week" / file.name)
    solved = [found[1] for cell in read(file).cells if (found := SOLVED.search(cell.source))]
    made, points = STUDENTS[student](name, solved)
    own = [translated(text, name, task) for text in made]
    mine = [cell for cell in released.cells if OWN.search(cell.source)]
    for cell, text in zip(mine, own, strict=True):
        cell.source = cell.source.replace(OWN.search(cell.source)[0], text)
    place = course / "submitted" / student / "week" / file.name
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(released, place)
    return points


@pytest.mark.guests
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            ("close_the_bucket",), marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="one"
        ),
        pytest.param(NAMES, marks=[pytest.mark.long, pytest.mark.timeout(7200)], id="all"),
    ],
)
def test_four_students_hand_in(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    (tmp_path / "source" / "week").mkdir(parents=True)
    for name in names:
        shutil.copy(notebook(name, SOLUTIONS), tmp_path / "source" / "week")
    said = nbgrader(tmp_path, "generate_assignment", "week", "--create")
    wanted = {
        student: {name: hand_in(tmp_path, student, name) for name in names} for student in STUDENTS
    }
    said += nbgrader(tmp_path, "autograde", "week", "--create")
    monkeypatch.setenv("PATH", PATH)
    assert points(tmp_path, names) == wanted, said
    assert not re.search(r"\w+App \| (WARNING|ERROR)", said), said
    for name in names:
        released = read(tmp_path / "release" / "week" / notebook(name).name)
        assert not any("SOLUTION" in cell.source for cell in released.cells)
        graded = read(tmp_path / "autograded" / "dan" / "week" / notebook(name).name)
        assert "nothing was handed in" in str([cell.get("outputs") for cell in graded.cells])


def points(course: Path, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """What the gradebook has."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return {
            student: {
                name: book.find_grade("grade", notebook(name).stem, "week", student).auto_score
                for name in names
            }
            for student in STUDENTS
        }
