"""The pictures of the docs, taken in a browser: `make pictures`.

python -m tests.browser.pictures
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.browser import chromium, jupyterlab
from tests.browser.lesson import Cell, Lesson
from tests.browser.walking import Walk
from tests.notebooks.execute import ROOT, all_lessons

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLACE = ROOT / "docs" / "pictures"
WIDTH, _COLOURS = 1000, 128  # of a picture; the width in pixels


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        jupyterlab.opened_by_labkit(Path(directory)) as address,
        chromium.started() as browser,
    ):
        with _opened(browser, address, "notebooks/03_build.ipynb") as lesson:
            check = Walk(lesson, "03_build", []).reach('check.step("03.1")')
            lesson.open_all_below(lesson.before(check), most=2)
            _take(lesson, lesson.before(lesson.before(check)), check, "step")
        with _opened(browser, address, "notebooks/00_welcome.ipynb") as lesson:
            shown = Walk(lesson, "00_welcome", []).reach("course_map()")
            _take(lesson, shown, shown, "map")
        name = _asks_for_approval()
        with _opened(browser, address, f"notebooks/{name}.ipynb") as lesson:
            live = Walk(lesson, name, []).reach("show.live(lab, waiting")
            lesson.wait_for("Approve")
            _take(lesson, live, live, "approval")
            jupyterlab.look(lesson.page, "dark", WIDTH)
            _take(lesson, live, live, "approval-dark")
            jupyterlab.look(lesson.page, "light", WIDTH)
        with _opened(browser, address, "reference/10_strategies.ipynb") as lesson:
            chart = next(cell for cell in lesson.cells() if "Blue/green: the bad" in cell.source)
            _take(lesson, chart, chart, "traffic")


def _asks_for_approval() -> str:
    return next(path.stem for path in all_lessons() if "Click **Approve**" in path.read_text())


@contextmanager
def _opened(browser: Browser, address: str, path: str) -> Iterator[Lesson]:
    address = address.replace("notebooks/00_welcome.ipynb", path)
    with chromium.opened(browser, address) as desk:
        lesson = Lesson(desk.page, path)
        jupyterlab.look(desk.page, "light", WIDTH)
        yield lesson
        lesson.close()


def _take(lesson: Lesson, first: Cell, last: Cell, name: str) -> None:
    """Take a picture of some cells, in few colours, so that it is small."""
    page = lesson.page
    page.set_viewport_size({"width": WIDTH, "height": 1600})
    lesson.at(first).scroll_into_view_if_needed()
    top, bottom = lesson.at(first).bounding_box(), lesson.at(last).bounding_box()
    assert top and bottom
    height = bottom["y"] + bottom["height"] - top["y"]
    taken = page.screenshot(
        clip={
            "x": top["x"],
            "y": top["y"],
            "width": top["width"],
            "height": height,
        }
    )
    picture = Image.open(io.BytesIO(taken)).convert("RGB").quantize(_COLOURS)
    picture.save(PLACE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
