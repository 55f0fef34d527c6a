"""A lesson open in JupyterLab, used as somebody at the keyboard uses it: cells are written, run and read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.browser import jupyterlab
from tests.notebooks.execute import CELL_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"
_MODEL = "const model = window.jupyterapp.shell.currentWidget.content.widgets[number].model;"
_POLL = 50  # milliseconds; asking at each frame, as is usual, keeps a busy machine busy
_PATIENCE = CELL_TIMEOUT_SECONDS * 1000  # milliseconds


@dataclass(frozen=True)
class Cell:
    """A cell as it stands in the page: its number from the top, and what is written in it."""

    number: int
    id: str
    source: str
    is_code: bool


class Lesson:
    """A notebook in front of the learner."""

    def __init__(self, page: Page, path: str) -> None:
        self.page, self._path = page, path
        jupyterlab.wait_for_notebook(page, path)
        self._wait_for_kernel()

    def reopen(self) -> None:
        """Open it again after `close`."""
        jupyterlab.open_notebook(self.page, self._path)
        self._wait_for_kernel()

    def close(self) -> None:
        """Save it, and close its tab. Its kernel goes on."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")
        jupyterlab.close_notebook(self.page)

    def shut_down(self) -> None:
        """End all kernels of notebooks, as closing the lab does."""
        self.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")

    def restart(self) -> None:
        """Restart its kernel, and say yes when JupyterLab asks."""
        self.page.locator(FRONT).get_by_role(
            "button", name="Restart the kernel", exact=True
        ).click()
        self.page.get_by_role("dialog").get_by_role("button", name="Confirm Kernel Restart").click()
        self._wait_for_kernel()

    def cells(self) -> Iterator[Cell]:
        """Its cells, from the top."""
        told = self.page.evaluate(
            "() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON().cells)"
        )
        for number, cell in enumerate(json.loads(told)):
            source = "".join(cell["source"])
            yield Cell(number, cell["id"], source, cell["cell_type"] == "code")

    def at(self, cell: Cell) -> Locator:
        """Where a cell is in the page."""
        return self.page.locator(f"{FRONT} .jp-Cell").nth(cell.number)

    def write(self, cell: Cell, source: str) -> None:
        """Write something else into a cell.

        Raises:
            AssertionError: something else stands there then.
        """
        self.at(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        written = self.page.evaluate(
            f"number => {{ {_MODEL} return model.sharedModel.getSource(); }}", cell.number
        )
        assert written == source, written

    def run(self, cell: Cell) -> str:
        """Run a cell with Shift and Enter, and wait until it is done; returns what it shows."""
        if self._active() != cell.number:
            self.at(cell).locator(".cm-content").click()
        # so that a cell which is run again has a new number when it is done
        self.page.evaluate(f"number => {{ {_MODEL} model.executionCount = null; }}", cell.number)
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            f"number => {{ {_MODEL}"
            " return model.executionCount !== null && model.executionState === 'idle'; }",
            arg=cell.number,
            polling=_POLL,
            timeout=_PATIENCE,
        )
        return self.shown(cell)

    def shown(self, cell: Cell) -> str:
        """What stands below a cell."""
        return self.at(cell).locator(".jp-Cell-outputArea").inner_text() if cell.is_code else ""

    def before(self, cell: Cell) -> Cell:
        """The cell above one."""
        return list(self.cells())[cell.number - 1]

    def open_all_below(self, cell: Cell, most: int = 100) -> int:
        """Open what is to be opened in a cell, or below it, one by one; returns how many there were."""
        closed = self.at(cell).locator("details:not([open]) > summary").locator("visible=true")
        opened = 0
        while opened < most and closed.count():
            closed.first.click()
            opened += 1
        return opened

    def offers(self, button: str) -> bool:
        """Whether a button of that name is to be seen."""
        return self._buttons(button).count() > 0

    def wait_for(self, button: str) -> None:
        """Wait for a button of that name."""
        self._buttons(button).last.wait_for()

    def click(self, button: str) -> None:
        """Click the last button of that name."""
        self._buttons(button).last.click()

    def _buttons(self, name: str) -> Locator:
        return self.page.locator(FRONT).get_by_role("button", name=name)  # an icon is in its name

    def failed(self, cell: Cell) -> bool:
        """Whether a cell ended in an error."""
        found: bool = self.page.evaluate(
            f"number => {{ {_MODEL} return model.sharedModel.getOutputs()"
            ".some(one => one.output_type === 'error'); }",
            cell.number,
        )
        return found

    def _active(self) -> int:
        found: int = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
        )
        return found

    def _wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            "() => { const session = window.jupyterapp.shell.currentWidget.sessionContext;"
            " return session.isReady && session.kernelDisplayStatus === 'idle'; }",
            timeout=_PATIENCE,
        )
