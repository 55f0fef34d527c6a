"""Every lesson and exercise runs alone, in a fresh lab, and shows what it stored (nbval, strict)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cloud.front import launcher
from labkit.markup import NO_MATHEMATICS
from tests.notebooks.execute import (
    CELL_TIMEOUT_SECONDS,
    ROOT,
    all_lessons,
    all_notebooks,
    fresh_lab,
)
from tests.notebooks.reading import read

SANITIZE = Path(__file__).with_name("sanitize.cfg")
MOST_LINES_OF_A_CELL = 15
MOST_LINES_OF_AN_ANSWER = 20  # a script, or a document, in one piece


def notebook_ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def shows_what_it_stored(path: Path, environment: dict[str, str]) -> None:
    """Run a notebook in the lab of this environment; its outputs have to be those that it stores."""
    mine = {name: value for name, value in os.environ.items() if name not in launcher.UNSET}
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "--nbval", str(path), "-q", "-x", "-o", "addopts=",
            "-p", "tests.notebooks.no_iris", "-p", "nbval.plugin", "-p", "no:cacheprovider",
            "--nbval-sanitize-with", str(SANITIZE), "--nbval-current-env",
            "--nbval-cell-timeout", str(CELL_TIMEOUT_SECONDS), "--rootdir", str(ROOT),
        ],
        env=mine | environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{path.name}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", all_lessons(), ids=notebook_ids)
def test_runs_alone_and_shows_what_it_stored(path: Path) -> None:
    with fresh_lab() as environment:
        shows_what_it_stored(path, environment)


@pytest.mark.parametrize("path", all_notebooks(), ids=notebook_ids)
def test_is_stored_as_a_lesson_should_be(path: Path) -> None:
    import nbformat

    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = any(cell.outputs for cell in code)
    assert shown == (path in all_lessons()), (
        "a lesson stores its outputs (make notebooks), an exercise none"
    )
    assert "widgets" not in notebook.metadata
    for cell in code:
        most = MOST_LINES_OF_A_CELL if path in all_lessons() else MOST_LINES_OF_AN_ANSWER
        assert len(cell.source.splitlines()) <= most, cell.source
        for never in ("endpoint_url", "labkit.cloud", "aws_secret_access_key"):
            assert never not in cell.source
        assert "ResponseMetadata" not in str(cell.outputs), f"differs each time:\n{cell.source}"
        errors = [output for output in cell.outputs if output.output_type == "error"]
        assert not errors or "raises-exception" in cell.metadata.get("tags", []), cell.source


# what JupyterLab would typeset as mathematics: what stands between two dollars of one block
MATHEMATICS = re.compile(r"\$[^$<>\n]+\$")
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)


@pytest.mark.parametrize("path", all_notebooks(), ids=notebook_ids)
def test_a_dollar_is_a_dollar(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            assert not MATHEMATICS.search(CODE.sub("", cell.source)), cell.source
        for output in cell.get("outputs", []):
            html = "".join(output.get("data", {}).get("text/html", ""))
            assert NO_MATHEMATICS in html or not MATHEMATICS.search(html), html
