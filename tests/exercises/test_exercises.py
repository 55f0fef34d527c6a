"""The grades are whole on the solutions, in any variant, and say of a wrong attempt what is wrong with it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit import Lab
from labkit.cloud.front import launcher
from labkit.teach.exercises import NAMES, Grade, Task, exercise, fresh, student_id
from tests.conftest import Aws
from tests.exercises import teaching_page
from tests.exercises.answers import EXERCISES, SOLUTIONS, answer, notebook, source, translated
from tests.notebooks.reading import read

ATTEMPTS = tomllib.loads(Path(__file__).with_name("attempts.toml").read_text(encoding="utf-8"))
OWN = re.compile(r"(### BEGIN SOLUTION\n).*?(### END SOLUTION)", re.DOTALL)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A lab in which one attempt comes after another, as in a learner's own."""
    description, _ = launcher.up(tmp_path_factory.mktemp("exercises") / "state")
    yield Aws(description)
    launcher.down(Path(description["state_dir"]))


@pytest.fixture
def used(others: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    others.set_environment(monkeypatch)
    return others


def tried(task: Task, text: str) -> Grade:
    lab = Lab(task.given["name"])
    task.prepare(lab)
    return task.try_out(lab, **answer(task, text))


def attempts() -> Iterator[Any]:
    """The first of each exercise, and the others where there is time for it."""
    for name, rows in ATTEMPTS.items():
        for number, row in enumerate(rows):
            marks = pytest.mark.slow if number == 0 else pytest.mark.long
            yield pytest.param(name, row, id=f"{name}-{row['name']}".replace(" ", "-"), marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_solution_earns_all_points(used: Aws, name: str) -> None:
    grade = tried(exercise(name), source(name))
    assert grade.passed and grade.points == exercise(name).exercise.points, grade


@pytest.mark.parametrize("name, attempt", list(attempts()))
def test_a_wrong_attempt_is_told_why(used: Aws, name: str, attempt: dict[str, Any]) -> None:
    text = source(name)
    for old, new in attempt.get("replace", []):
        assert old in text
        text = text.replace(old, new)
    grade = tried(exercise(name), f"{text}\n{attempt.get('then', '')}")
    assert (grade.points, grade.passed) == (attempt["points"], False), grade
    said = "\n".join(line.todo for line in grade.lines if not line.ok)
    assert all(words in said for words in attempt["says"]), grade


@pytest.mark.long
@pytest.mark.parametrize("student", ["ada", "grace"])
@pytest.mark.parametrize("name", NAMES)
def test_each_variant_can_be_solved(used: Aws, name: str, student: str) -> None:
    task = exercise(name, student)
    grade = tried(task, translated(source(name), name, task))
    assert grade.passed, grade


@pytest.mark.parametrize("name", NAMES)
def test_there_are_three_wrong_attempts_of_each(name: str) -> None:
    assert len(ATTEMPTS[name]) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_thirty_students_have_many_variants(name: str) -> None:
    variants = [exercise(name, f"student {number}").facts for number in range(30)]
    assert variants == [exercise(name, f"student {number}").facts for number in range(30)]
    assert len({tuple(one.items()) for one in variants}) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_thirty_students_do_not_hand_in_one_answer(name: str) -> None:
    tasks = [exercise(name, f"student {number}") for number in range(30)]
    answers = [answer(task, translated(source(name), name, task)) for task in tasks]
    assert len({repr(one) for one in answers}) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_what_a_learner_begins_with_is_nothing_handed_in(name: str) -> None:
    task = exercise(name)
    for handed_in in (task.begin, dict.fromkeys(task.begin), answer(task, source(name, EXERCISES))):
        grade = task.grade(**handed_in)
        assert (grade.points, grade.passed) == (0, False)
        assert all("nothing was handed in" in line.todo for line in grade.lines)
    with pytest.raises(TypeError, match="no part nothing"):
        task.grade(nothing="")


@pytest.mark.slow
def test_a_grade_has_a_lab_of_its_own_which_is_gone_afterwards(used: Aws) -> None:
    name, outside = "write_the_buildspec", dict(os.environ)
    task, there = exercise(name), set(Path(fresh.tempfile.gettempdir()).iterdir())
    assert tried(task, source(name)).passed  # the usual lab has a good one
    wrong = source(name).replace("npm ci", "false")
    grade = task.grade(**answer(task, wrong))
    assert grade.points == 0, grade
    assert dict(os.environ) == outside
    left = set(Path(fresh.tempfile.gettempdir()).iterdir()) - there
    assert not [path for path in left if path.name.startswith("labkit-grade-")]


@pytest.mark.slow
def test_a_grade_that_is_broken_off_leaves_nothing(used: Aws) -> None:
    with pytest.raises(KeyboardInterrupt), fresh.fresh_lab("any") as lab:
        directory = lab.workspace.parent
        server = psutil.Process(launcher.status(directory)["pid"])
        raise KeyboardInterrupt
    assert not directory.exists()
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_whose_variant_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LABKIT_STUDENT", "NBGRADER_EXECUTION", "JUPYTERHUB_USER"):
        monkeypatch.delenv(name, raising=False)
    assert student_id() == ""
    monkeypatch.setenv("JUPYTERHUB_USER", "hub")
    assert (student_id(), student_id("typed")) == ("hub", "typed")
    where = tmp_path / "autograded" / "ada" / "week-1"
    where.mkdir(parents=True)
    monkeypatch.chdir(where)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert student_id("typed") == "ada"
    monkeypatch.setenv("LABKIT_STUDENT", "")
    assert student_id("typed") == ""


def test_the_grade_says_whose_variant_was_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_STUDENT", "ada")
    note = exercise(NAMES[0], "bob").grade().note
    assert note == "The variant of ada. The notebook was worked on as the variant of bob."


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_can_adopt_it(name: str) -> None:
    """The exercise is its solution without the marked parts, and nbgrader finds its way in both."""
    mine, theirs = (read(notebook(name, where)).cells for where in (EXERCISES, SOLUTIONS))
    assert [cell.metadata for cell in mine] == [cell.metadata for cell in theirs]
    marked = [cell.metadata["nbgrader"] for cell in mine if "nbgrader" in cell.metadata]
    ids = [one["grade_id"] for one in marked]
    assert len(ids) == len(set(ids))
    graded = [one["points"] for one in marked if one["grade"]]
    assert graded == [exercise(name).exercise.points]
    assert [one["solution"] for one in marked] == [not one["locked"] for one in marked]
    for cell, solved in zip(mine, theirs, strict=True):
        if cell.cell_type == "code":
            assert OWN.sub(r"\1\2", cell.source) == OWN.sub(r"\1\2", solved.source)
            needs_a_lab = re.search(r"\blab\b(?!kit)", cell.source)
            skipped = "skip-execution" in cell.metadata.get("tags", [])
            assert skipped == bool(needs_a_lab), (
                cell.source
            )  # nbgrader skips it: a grade has its own


def test_the_teachers_page_says_how_it_is() -> None:
    assert teaching_page.PAGE.read_text(encoding="utf-8") == teaching_page.written(), "make docs"
