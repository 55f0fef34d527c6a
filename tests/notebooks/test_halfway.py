"""A learner who leaves a lesson half done and opens the next one: that shows what it stored all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.execute import all_lessons, fresh_lab
from tests.notebooks.interrupting import Lesson
from tests.notebooks.test_notebooks import notebook_ids, shows_what_it_stored

LESSONS = all_lessons()
PAIRS = dict(zip(LESSONS[1:], LESSONS, strict=False))  # the lesson before it, by lesson
STATES = 10


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("path", PAIRS, ids=notebook_ids)
def test_from_each_half_finished_state_of_the_lesson_before(path: Path) -> None:
    from_states_of(PAIRS[path], path, STATES)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_two_half_finished_states_of_the_lesson_before() -> None:
    """The two lessons that take least."""
    from_states_of(LESSONS[1], LESSONS[2], 2)


def from_states_of(before: Path, path: Path, states: int) -> None:
    """Leave one lesson after so many different cells, and take the other each time, all in one lab."""
    with fresh_lab() as environment:
        left = Lesson(before, environment)
        for number in range(1, states + 1):
            left.run_first(max(1, left.cells * number // (states + 1)))
            shows_what_it_stored(path, environment)
