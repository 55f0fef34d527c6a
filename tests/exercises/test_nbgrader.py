"""A teacher's week with nbgrader's own command: four students hand in, and the gradebook has their points."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from labkit.teach.exercises import exercise
from tests.exercises.answers import SOLUTIONS, notebook, translated
from tests.notebooks.reading import read

ASSIGNED = ("fix_the_permissions",)
# by student and exercise; what each does with the released notebook is below
POINTS = {
    "ada": {"fix_the_permissions": 7.0},
    "ben": {"fix_the_permissions": 6.0},
    "cleo": {"fix_the_permissions": 1.0},
    "dan": {"fix_the_permissions": 0.0},
}
PARTLY = {"fix_the_permissions": ("releaser[", "# releaser[")}
WRONG = {"fix_the_permissions": ("events[", "# events[")}
# whatever a cell's limit is, a grade takes seconds
CONFIG = "c = get_config()\nc.Execute.timeout = 300\n"
# nbgrader calls alembic by its name
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
OWN = re.compile(r"# YOUR CODE HERE\nraise NotImplementedError\(\)")
SOLVED = re.compile(r"### BEGIN SOLUTION\n(.*?)\n### END SOLUTION", re.DOTALL)


def right(name: str, own: str) -> str:
    return own


def partly(name: str, own: str) -> str:
    return own.replace(*PARTLY[name])


def wrong(name: str, own: str) -> str:
    return own.replace(*WRONG[name])


def unreadable(name: str, own: str) -> str:
    return own + "\nthis is (no Python"


STUDENTS: Mapping[str, Callable[[str, str], str]] = {
    "ada": right,
    "ben": partly,
    "cleo": wrong,
    "dan": unreadable,
}


def nbgrader(course: Path, *arguments: str) -> str:
    """Run nbgrader in a course, in an environment in which no lab runs; returns what it said."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "LABKIT_", "JUPYTER"))
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


def hand_in(course: Path, student: str, name: str) -> None:
    """What a student makes of the released notebook: the solution's cells, in their own variant."""
    import nbformat

    file = notebook(name, SOLUTIONS)
    released = read(course / "release" / "week" / file.name)
    task = exercise(name, student)
    for cell, solved in zip(released.cells, read(file).cells, strict=True):
        if found := SOLVED.search(solved.source):
            own = translated(found.group(1), name, task)
            made = STUDENTS[student](name, own)
            cell.source = OWN.sub(lambda _, made=made: made, cell.source)
    place = course / "submitted" / student / "week" / file.name
    place.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(released, place)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A course in which all is graded, and what nbgrader said meanwhile."""
    course = tmp_path_factory.mktemp("course")
    (course / "nbgrader_config.py").write_text(CONFIG)
    for name in ASSIGNED:
        file = notebook(name, SOLUTIONS)
        (course / "source" / "week").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, course / "source" / "week" / file.name)
    heard = nbgrader(course, "generate_assignment", "week", "--create")
    for student in STUDENTS:
        for name in ASSIGNED:
            hand_in(course, student, name)
    return course, heard + nbgrader(course, "autograde", "week", "--create")


@pytest.mark.slow
@pytest.mark.guests
@pytest.mark.timeout(900)
def test_the_gradebook_has_everybody_s_own_points(
    said: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbgrader.api import Gradebook

    course, heard = said
    monkeypatch.setenv("PATH", PATH)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        found = {
            student: {
                name: book.find_submission_notebook(notebook(name).stem, "week", student).auto_score
                for name in ASSIGNED
            }
            for student in STUDENTS
        }
    assert found == POINTS, heard
    assert "WARNING" not in heard and "ERROR" not in heard, heard
    assert "expecting output to indicate" not in heard


@pytest.mark.slow
def test_who_hands_in_what_does_not_parse_is_told(said: tuple[Path, str]) -> None:
    course, _ = said
    for name in ASSIGNED:
        graded = read(course / "autograded" / "dan" / "week" / notebook(name).name)
        shown = [str(cell.outputs) for cell in graded.cells if cell.cell_type == "code"]
        assert any("nothing was handed in" in one for one in shown)


@pytest.mark.slow
def test_what_is_released_holds_no_solution(said: tuple[Path, str]) -> None:
    course, _ = said
    for name in ASSIGNED:
        released = read(course / "release" / "week" / notebook(name).name)
        assert not any("SOLUTION" in cell.source for cell in released.cells)
