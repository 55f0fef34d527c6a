"""Run notebooks, each in a fresh lab of its own, and store their outputs: `make notebooks`.

python -m tests.notebooks.execute [NOTEBOOK ...]     (all of notebooks/ if none)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from labkit.cloud.front import launcher
from tests.notebooks.reading import read

ROOT = Path(__file__).resolve().parents[2]
CELL_TIMEOUT_SECONDS = 300  # reached by a failure alone, however busy the machine


def all_lessons() -> list[Path]:
    """Every lesson, in order."""
    return sorted(ROOT.glob("notebooks/*.ipynb"))


def all_exercises() -> list[Path]:
    """Every exercise and its solution."""
    return sorted(ROOT.glob("exercises/**/*.ipynb"))


def all_notebooks() -> list[Path]:
    """Every lesson, exercise and solution."""
    return [*all_lessons(), *all_exercises()]


@contextmanager
def fresh_lab() -> Iterator[dict[str, str]]:
    """A new, empty local AWS, and the environment that JupyterLab would have in it.

    Its directory has a name with a space in it that is not ASCII, as a learner's may.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-notebook-") as directory:
        state_dir = Path(directory) / "state of the läb"
        description, _ = launcher.up(state_dir)
        try:
            yield {
                **launcher.environment(description),
                **launcher.jupyter_environment(description),
            }
        finally:
            launcher.down(state_dir)


def execute(path: Path) -> None:
    """Run one notebook from top to bottom and store what it shows."""
    import nbformat
    from nbclient import NotebookClient

    notebook = read(path)
    with fresh_lab() as environment, mock.patch.dict("os.environ", environment):
        NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    clean(notebook)
    nbformat.write(notebook, path)


def clean(notebook: Any) -> None:
    """Leave nothing in a stored notebook that depends on this run or this machine."""
    notebook.metadata.clear()
    notebook.metadata.update(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
    )
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)


def _merged(outputs: list[Any]) -> list[Any]:
    """The same outputs with neighbouring pieces of one stream in one; how they came is chance."""
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def main() -> None:
    for path in [Path(name).resolve() for name in sys.argv[1:]] or all_lessons():
        print(path.relative_to(ROOT), flush=True)
        execute(path)


if __name__ == "__main__":
    main()
