"""One browser and one JupyterLab for all tests here; where there is no Chromium, they are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium, jupyterlab
from tests.browser.chromium import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if chromium.path() is None:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=chromium.MISSING))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture(scope="session")
def desk(browser: Browser, address: str) -> Iterator[Desk]:
    """A page of JupyterLab, for notebooks that are only looked at, one after the other."""
    with chromium.opened(browser, address) as desk:
        yield desk


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that JupyterLab serves."""
    return tmp_path_factory.mktemp("a course")


@pytest.fixture(scope="session")
def address(course: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a JupyterLab without a lab is, for notebooks that are only looked at."""
    with jupyterlab.served(course, jupyterlab.places(tmp_path_factory.mktemp("jupyter"))) as url:
        yield url
