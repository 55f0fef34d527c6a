"""The course as people take it: in order, again, on a busy machine, and interrupted in the middle.

All in one lab, as a learner has one. The lessons have to show what they stored each time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.notebooks.execute import all_lessons, fresh_lab
from tests.notebooks.interrupting import Lesson
from tests.notebooks.learner import walk
from tests.notebooks.test_notebooks import notebook_ids, shows_what_it_stored

LESSONS = all_lessons()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_in_order_as_a_learner_and_once_more() -> None:
    """First the learner's edition: every step left open, answered wrongly, and as the reference does.

    In the isolation that works here: `make test-bare` runs each lesson alone (test_notebooks), without.
    """
    with fresh_lab() as environment:
        for lesson in LESSONS:
            walk(lesson, environment)
        for lesson in LESSONS:
            shows_what_it_stored(lesson, environment)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_each_twice_while_the_machine_has_other_work() -> None:
    with busy(), fresh_lab() as environment:
        for lesson in LESSONS:
            shows_what_it_stored(lesson, environment)
            shows_what_it_stored(lesson, environment)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", LESSONS, ids=notebook_ids)
def test_interrupted_and_run_again_from_its_top(path: Path) -> None:
    with fresh_lab() as environment:
        lesson = Lesson(path, environment)
        seconds = lesson.run()
        for number, cell in enumerate(_some(seconds)):
            lesson.run_and_interrupt(cell, after=seconds[cell] / 2, kill=number % 2 == 0)
        shows_what_it_stored(path, environment)


def _some(seconds: list[float]) -> list[int]:
    """Where to interrupt: in every fifth cell, and in the three that take longest."""
    longest = sorted(range(len(seconds)), key=seconds.__getitem__)[-3:]
    return sorted({*range(2, len(seconds), 5), *longest})


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core of this machine at work."""
    work = [sys.executable, "-c", "while True: pass"]
    workers = [subprocess.Popen(work) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
