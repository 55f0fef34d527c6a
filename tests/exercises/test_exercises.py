"""The grader is green on the solutions, and red on what a learner begins with and may try."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab
from labkit.provision import provision, roles, tear_down
from labkit.teach import grading, permission_faults, permission_grading
from tests.conftest import Aws
from tests.notebooks.reading import read
from tests.provisioned import provisioned

EXERCISES = Path(__file__).resolve().parents[2] / "exercises"
NAMES = sorted(path.name for path in EXERCISES.glob("*.ipynb"))
ATTEMPTS = tomllib.loads(Path(__file__).with_name("attempts.toml").read_text(encoding="utf-8"))
OWN = re.compile(r"(### BEGIN SOLUTION\n).*?(### END SOLUTION)", re.DOTALL)
HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n", re.DOTALL)


@pytest.fixture
def lab(lab_environment: Aws) -> Iterator[Lab]:
    """A lab of the exercises' own, without anything in it."""
    lab = Lab("exercises")
    yield lab
    tear_down(lab)
    shutil.rmtree(lab.workspace / lab.repository, ignore_errors=True)


def cells(path: Path) -> Any:
    return read(path).cells


def texts(path: Path) -> dict[str, Any]:
    """What the cells between setup and grade define: `buildspec`, or `files`."""
    wanted = ("start", "start-appspec", "start-script", "buildspec", "files")
    found: dict[str, Any] = {}
    for cell in cells(path):
        if cell.metadata["nbgrader"]["grade_id"] in wanted:
            exec(cell.source.split("commit = ")[0], found)
    return found


def attempts(exercise: str) -> list[Any]:
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in ATTEMPTS[exercise]]


def changed(text: str, attempt: dict[str, Any]) -> str:
    for old, new in attempt.get("replace", []):
        text = text.replace(old, new)
    return attempt.get("text", text)


def buildspec(where: Path) -> dict[str, str]:
    return {"buildspec.yml": texts(where / "01_write_the_buildspec.ipynb")["buildspec"]}


def files(where: Path) -> dict[str, str]:
    return texts(where / "02_mend_the_deployment.ipynb")["files"]


def grade(
    lab: Lab, until: str, files: dict[str, str], grader: Callable[[Lab], grading.Grade]
) -> grading.Grade:
    provision(lab, until=until)
    grading.hand_in(lab, files)
    return grader(lab)


@pytest.mark.slow
@pytest.mark.parametrize("where, points", [(EXERCISES, 0), (EXERCISES / "solutions", 6)])
def test_the_buildspec_as_stored(lab: Lab, where: Path, points: int) -> None:
    result = grade(lab, "build", buildspec(where), grading.write_the_buildspec)
    assert (result.points, result.passed) == (points, points == 6), result


@pytest.mark.slow
@pytest.mark.parametrize("attempt", attempts("write_the_buildspec"))
def test_a_wrong_buildspec_is_red(lab: Lab, attempt: dict[str, Any]) -> None:
    right = buildspec(EXERCISES / "solutions")
    wrong = {name: changed(text, attempt) for name, text in right.items()}
    assert wrong != right
    result = grade(lab, "build", wrong, grading.write_the_buildspec)
    assert (result.points, result.passed) == (attempt["points"], False), result


@pytest.mark.slow
@pytest.mark.parametrize("where, points", [(EXERCISES, 1), (EXERCISES / "solutions", 5)])
def test_the_deployment_as_stored(lab: Lab, where: Path, points: int) -> None:
    result = grade(lab, "deploy", files(where), grading.mend_the_deployment)
    assert (result.points, result.passed) == (points, points == 5), result


@pytest.mark.slow
@pytest.mark.parametrize("attempt", attempts("mend_the_deployment"))
def test_a_wrong_mending_is_red(lab: Lab, attempt: dict[str, Any]) -> None:
    right = files(EXERCISES / "solutions")
    wrong = {name: changed(text, attempt) for name, text in right.items()}
    assert wrong != right
    result = grade(lab, "deploy", wrong, grading.mend_the_deployment)
    assert (result.points, result.passed) == (attempt["points"], False), result


@pytest.fixture(scope="module")
def guarded(aws: Aws) -> Iterator[Lab]:
    """A lab with a whole pipeline, whose permissions each attempt breaks anew."""
    with provisioned(aws, "guarded") as lab:
        yield lab
        permission_faults.remove(lab)


def broken(lab: Lab) -> Lab:
    permission_faults.remove(lab)
    roles.create_roles(lab)
    permission_faults.break_permissions(lab)
    return lab


def mend(lab: Lab, source: str) -> None:
    exec(source, {"json": json, "lab": lab, "permission_faults": permission_faults})


def mending(where: Path) -> str:
    """What the cells between the faults and the grade do."""
    found = [
        cell.source
        for cell in cells(where / "03_mend_the_permissions.ipynb")
        if re.match("helpers|mend-", cell.metadata["nbgrader"]["grade_id"])
    ]
    return "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("where, points", [(EXERCISES, 1), (EXERCISES / "solutions", 7)])
def test_the_permissions_as_stored(guarded: Lab, where: Path, points: int) -> None:
    mend(broken(guarded), mending(where))
    result = permission_grading.mend_the_permissions(guarded)
    assert (result.points, result.passed) == (points, points == 7), result


@pytest.mark.slow
@pytest.mark.parametrize("attempt", attempts("mend_the_permissions"))
def test_a_wrong_permission_is_red(guarded: Lab, attempt: dict[str, Any]) -> None:
    right = mending(EXERCISES / "solutions")
    wrong = changed(right, attempt) + attempt.get("then", "")
    assert wrong != right
    mend(broken(guarded), wrong)
    result = permission_grading.mend_the_permissions(guarded)
    assert (result.points, result.passed) == (attempt["points"], False), result


@pytest.mark.slow
def test_grading_leaves_the_branch_without_its_mistake(lab: Lab) -> None:
    grade(lab, "build", buildspec(EXERCISES / "solutions"), grading.write_the_buildspec)
    answer = lab.client("codecommit").get_file(repositoryName=lab.repository, filePath="site.json")
    assert b"tael" not in answer["fileContent"]
    assert grading.write_the_buildspec(lab).passed


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_can_adopt_it(name: str) -> None:
    """The exercise is its solution without the marked parts, and nbgrader finds its way in both."""
    exercise, solution = cells(EXERCISES / name), cells(EXERCISES / "solutions" / name)
    ids = [cell.metadata["nbgrader"]["grade_id"] for cell in exercise]
    assert len(ids) == len(set(ids))
    assert [cell.metadata for cell in exercise] == [cell.metadata for cell in solution]
    marked = [cell.metadata["nbgrader"] for cell in exercise]
    assert [one["points"] for one in marked if one["grade"]]
    assert [one for one in marked if one["solution"]] == [
        one for one in marked if not one["locked"]
    ]
    for mine, theirs in zip(exercise, solution, strict=True):
        if mine.cell_type == "code":
            plain = HIDDEN.sub("", OWN.sub(r"\1\2", theirs.source))
            assert OWN.sub(r"\1\2", mine.source) == plain
