"""The system's Chromium, driven by Playwright; where there is none, why not and what brings one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "no Chromium that set-up has found, so the tests in a browser are left out; "
    "Debian and Ubuntu: sudo apt install chromium, then make clean install"
)


def path() -> str | None:
    """Where the system's Chromium is; None if there is none, or none when the lab was set up."""
    if find_spec("playwright") is None:
        return None
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


# JupyterLab's word for a question to a kernel whose notebook a test closes before the answer
_CLOSED_EARLY = "Canceled future for "


class Desk(NamedTuple):
    """A page, and the errors that its console has said up to now."""

    page: Page
    errors: list[str]


@contextmanager
def started() -> Iterator[Browser]:
    """A browser without windows. Without its sandbox: a container allows it none."""
    from playwright.sync_api import sync_playwright  # no run should load it that opens no page

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Desk]:
    """Open a page."""
    page, errors = browser.new_page(), list[str]()
    page.set_default_timeout(180_000)

    def heard(said: str) -> None:
        if _CLOSED_EARLY not in said:
            errors.append(said)

    page.on("console", lambda said: heard(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard(str(error)))
    try:
        page.goto(url)
        yield Desk(page, errors)
    finally:
        page.close()
