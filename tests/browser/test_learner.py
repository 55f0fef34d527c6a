"""A learner in a browser: the course as `labkit lab` opens it, walked in both themes and at both widths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.browser import chromium, jupyterlab
from tests.browser.jupyterlab import THEMES, WIDTHS
from tests.browser.lesson import Lesson
from tests.browser.walking import Walk, steps_done
from tests.notebooks.execute import all_lessons

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

SHORT = {"00_welcome": ("light", 1280), "03_build": ("dark", 760)}  # and how it is looked at
LONG = [path.stem for path in all_lessons() if path.name[:2] in ("00", "03", "06", "07", "10")]
LOOKS = [(theme, width) for theme in THEMES for width in WIDTHS]


class Opened(NamedTuple):
    """What `labkit lab` has opened: the address of its first lesson, and the learner's folder."""

    address: str
    course: Path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    directory = tmp_path_factory.mktemp("learner")
    with jupyterlab.opened_by_labkit(directory) as address:
        yield Opened(address, directory / jupyterlab.COURSE)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SHORT)
def test_a_learner_walks_a_lesson(name: str, opened: Opened, browser: Browser) -> None:
    """One of them without an interruption: that runs half of a lesson again."""
    walk_through(name, opened, browser, [SHORT[name]], interrupt=name == "03_build")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", [LOOKS[0], LOOKS[-1]], ids=lambda look: f"{look[0]}-{look[1]}")
@pytest.mark.parametrize("name", LONG)
def test_a_learner_walks_a_lesson_in_every_look(
    name: str, first: tuple[str, int], opened: Opened, browser: Browser
) -> None:
    walk_through(name, opened, browser, [first, *(look for look in LOOKS if look != first)])


def walk_through(
    name: str,
    opened: Opened,
    browser: Browser,
    looks: list[tuple[str, int]],
    *,
    interrupt: bool = True,
) -> None:
    """Walk through a lesson in the first of these looks; on another day start it over."""
    address = opened.address.replace("00_welcome", name)
    with chromium.opened(browser, address) as desk:
        lesson = Lesson(desk.page, f"notebooks/{name}.ipynb")
        jupyterlab.look(desk.page, *looks[0])
        walk = Walk(lesson, name, looks)
        walk.go(interrupt=interrupt)
        assert bool(walk.approvals) == walk.asks_for_approval
        assert walk.steps <= steps_done(opened.course)
        walk.start_over(opened.course)
        lesson.close()
        assert not [*walk.wrong, *desk.errors]
