"""What our outputs look like in JupyterLab: legible in both themes and at both widths, trusted or not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser

from labkit.show import diagram, phase_map
from labkit.show.pipeline import render
from tests.browser import chromium, jupyterlab
from tests.browser.jupyterlab import THEMES, WIDTHS
from tests.notebooks.execute import ROOT
from tests.observe import test_charts as charts
from tests.show import test_views as views

METADATA = {"kernelspec": {"display_name": "Python 3", "name": "python3"}}
LESSONS = ("00_welcome", "03_build", "06_pipeline", "07_release", "10_strategies")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_stored_lesson_is_legible(
    lesson: str, browser: Browser, address: str, course: Path
) -> None:
    shutil.copy(ROOT / "notebooks" / f"{lesson}.ipynb", course)
    assert not wrong(browser, address, f"{lesson}.ipynb")


@pytest.mark.timeout(600)
def test_whatever_we_draw_is_legible(browser: Browser, address: str, course: Path) -> None:
    drawn: list[Any] = [
        *(diagram(here) for here in (None, "build")),
        phase_map(),
        *(draw() for draw in (charts.phases, charts.deployments, charts.timeline, charts.race)),
        *(draw() for draw in (charts.traffic, charts.costs, charts.times)),
    ]
    html = [one._repr_html_() for one in drawn] + [
        render(now) for now in (views.FAILED, views.WAITING)
    ]
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    for one in html:
        cell = nbformat.v4.new_code_cell("")
        cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": one})]
        notebook.cells.append(cell)
    nbformat.write(notebook, course / "drawn.ipynb")
    assert not wrong(browser, address, "drawn.ipynb")


def wrong(browser: Browser, address: str, notebook: str) -> list[str]:
    """What is not as it should be in a notebook as it opens: formulas, faint text, errors of the console."""
    found = []
    with chromium.opened(browser, address) as (page, errors):
        jupyterlab.open_notebook(page, notebook)
        for theme in THEMES:
            for width in WIDTHS:
                jupyterlab.look(page, theme, width)
                what = [*jupyterlab.faint(page), *jupyterlab.cut_off(page)]
                found += [f"{theme}, {width} pixels: {one}" for one in what]
        return [*found, *jupyterlab.formulas(page), *errors]


@pytest.mark.timeout(600)
def test_what_is_wrong_is_found(browser: Browser, address: str, course: Path) -> None:
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    for html in (
        '<p style="color:#aaaaaa">faint on white</p>',
        "<p>between $1 and $2 a formula</p>",
        '<div role="group" style="overflow-x:auto"><div style="width:1500px">wide</div></div>',
    ):
        cell = nbformat.v4.new_code_cell("")
        cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": html})]
        notebook.cells.append(cell)
    nbformat.write(notebook, course / "wrong.ipynb")
    found = "\n".join(wrong(browser, address, "wrong.ipynb"))
    assert "light, 1280 pixels: 2.32" in found and "dark, 760 pixels: 2.32" not in found
    assert "wider than the page" in found and "1 and " in found
