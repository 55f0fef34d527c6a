"""The learner's edition as it is made from the reference: nothing of the answers in sight, all help there."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labkit.teach import edition, steps
from tests.notebooks.execute import all_lessons
from tests.notebooks.learner import wrong_answers
from tests.notebooks.test_notebooks import CODE, MATHEMATICS, notebook_ids

LESSONS = [path for path in all_lessons() if steps.of_lesson(steps.lesson_of(path.name))]


def cells_of(text: str) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def learners(path: Path) -> str:
    return edition.learners(path.read_text(), path.name)


def written_in(path: Path) -> list[str]:
    """The ids of a lesson's steps, in the order of its cells."""
    return [step.id for cell in cells_of(path.read_text()) if (step := edition.step_of(cell))]


@pytest.mark.parametrize("path", all_lessons(), ids=notebook_ids)
def test_it_is_a_notebook_without_outputs_and_the_same_each_time(path: Path) -> None:
    import nbformat

    made = learners(path)
    nbformat.validate(nbformat.reads(made, as_version=4))
    assert made == learners(path)
    assert not any(cell.get("outputs") for cell in cells_of(made))
    ids = [cell["id"] for cell in cells_of(made)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_a_lesson_has_five_to_ten_steps_and_each_is_described(path: Path) -> None:
    assert 5 <= len(written_in(path)) <= 10
    assert written_in(path) == list(steps.of_lesson(steps.lesson_of(path.name)))


@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_no_answer_is_in_sight(path: Path) -> None:
    """Neither in the step's own cell nor before it; later cells may do the same again."""
    reference = {cell["id"]: cell["source"] for cell in cells_of(path.read_text())}
    code = [cell for cell in cells_of(learners(path)) if cell["cell_type"] == "code"]
    for number, cell in enumerate(code):
        assert edition.BEGIN not in cell["source"] and edition.END not in cell["source"]
        if edition.step_of(cell):
            answer = edition.answer(reference[cell["id"]])
            assert not [one for one in code[: number + 1] if answer in one["source"]], answer


@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_below_each_step_its_hints_open_one_by_one_and_the_reference_last(path: Path) -> None:
    reference = {cell["id"]: cell["source"] for cell in cells_of(path.read_text())}
    made = cells_of(learners(path))
    for cell, below in pairwise(made):
        if (step := edition.step_of(cell)) is None:
            continue
        opened = [*step.hints, step.page, edition.answer(reference[cell["id"]])]
        for depth, text in enumerate(opened, start=1):
            before = below["source"].partition(text)[0]
            assert before != below["source"], text
            assert before.count("<details>") - before.count("</details>") == min(depth, 4)


@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_a_step_is_checked_in_the_next_cell_and_a_prediction_later(path: Path) -> None:
    code = [cell for cell in cells_of(path.read_text()) if cell["cell_type"] == "code"]
    sources = [cell["source"] for cell in code]
    for number, cell in enumerate(code):
        step = edition.step_of(cell)
        if step and step.choices:
            assert sources.index(f'check.step("{step.id}")') > number + 1
        elif step:
            assert sources[number + 1] == f'check.step("{step.id}")'


@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_a_dollar_of_the_help_is_a_dollar(path: Path) -> None:
    for cell in cells_of(learners(path)):
        if cell["cell_type"] == "markdown":
            assert not MATHEMATICS.search(CODE.sub("", cell["source"])), cell["source"]


@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_three_wrong_answers_or_more_are_tried(path: Path) -> None:
    tried = [wrong.step for wrong in wrong_answers() if wrong.step in written_in(path)]
    assert len(tried) >= 3
    assert tried == sorted(tried, key=written_in(path).index)
