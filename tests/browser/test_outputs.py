"""What our outputs look like in JupyterLab: legible in both themes and at both widths, trusted or not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.markup import as_written
from labkit.show import diagram, phase_map
from labkit.show.pipeline import render
from tests.browser import jupyterlab
from tests.browser.chromium import Desk
from tests.browser.jupyterlab import THEMES, WIDTHS
from tests.notebooks.execute import ROOT
from tests.observe import test_charts as charts
from tests.show import test_views as views

pytestmark = pytest.mark.slow
METADATA = {"kernelspec": {"display_name": "Python 3", "name": "python3"}}
# 00 and 03 are looked at where a learner walks them (test_learner)
LESSONS = ("06b_control", "07_release", "10_strategies")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_stored_lesson_is_legible(lesson: str, desk: Desk, course: Path) -> None:
    shutil.copy(ROOT / "notebooks" / f"{lesson}.ipynb", course)
    assert not wrong(desk, f"{lesson}.ipynb")


@pytest.mark.timeout(600)
def test_whatever_we_draw_is_legible(desk: Desk, course: Path) -> None:
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
    assert not wrong(desk, "drawn.ipynb")


def wrong(desk: Desk, notebook: str) -> list[str]:
    """What is not as it should be in a notebook as it opens: formulas, faint text, errors of the console."""
    page, found, before = desk.page, list[str](), len(desk.errors)
    jupyterlab.open_notebook(page, notebook)
    for theme in THEMES:
        jupyterlab.look(page, theme, WIDTHS[0])
        found += [f"{theme}: {one}" for one in jupyterlab.faint(page)]
    for width in WIDTHS:
        jupyterlab.look(page, theme, width)
        found += [f"{width} pixels: {one}" for one in jupyterlab.cut_off(page)]
    found += jupyterlab.formulas(page)
    jupyterlab.close_notebook(page)
    return [*found, *desk.errors[before:]]


@pytest.mark.timeout(600)
def test_what_is_wrong_is_found(desk: Desk, course: Path) -> None:
    notebook = nbformat.v4.new_notebook(metadata=METADATA)
    for html in (
        '<p style="color:#aaaaaa">faint on white</p>',
        "<p>between $1 and $2 a formula</p>",
        as_written('<div style="width:1500px">wide</div>'),
    ):
        cell = nbformat.v4.new_code_cell("")
        cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": html})]
        notebook.cells.append(cell)
    nbformat.write(notebook, course / "wrong.ipynb")
    found = "\n".join(wrong(desk, "wrong.ipynb"))
    assert "light: 2.32" in found and "dark: 2.32" not in found
    # of a formula, the text that MathJax has set
    assert "wider than the page" in found and "1and" in found
