"""A learner who stops in the middle: runs a lesson's cells from the top, and breaks one off half done."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from tests.notebooks.execute import CELL_TIMEOUT_SECONDS
from tests.notebooks.reading import read

_PATIENCE_SECONDS = 10  # a cell that was broken off may have something to put away


class Lesson:
    """The code cells of one notebook, run in the environment of a lab."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self._path, self._environment = path, environment
        cells = read(path).cells
        self._cells = [cell.source for cell in cells if cell.cell_type == "code"]

    @property
    def cells(self) -> int:
        """How many cells of code it has."""
        return len(self._cells)

    def run(self) -> list[float]:
        """Run all cells; returns how long each took, in seconds."""
        return self.run_first(self.cells)

    def run_first(self, cells: int) -> list[float]:
        """Run so many cells, and leave; returns how long each took, in seconds."""
        with self._kernel() as (_, client):
            return [self._whole(client, number) for number in range(cells)]

    def run_and_interrupt(self, cell: int, *, after: float, kill: bool) -> None:
        """Run the cells before one whole, begin that one, and break it off.

        Args:
            after: how many seconds after it began.
            kill: end the kernel at once; else interrupt it, as the stop button does.
        """
        with self._kernel() as (manager, client):
            for number in range(cell):
                self._whole(client, number)
            message = client.execute(self._cells[cell], store_history=False)
            if self._reply(client, message, after) is None and not kill:
                manager.interrupt_kernel()
                self._reply(client, message, _PATIENCE_SECONDS)

    @contextmanager
    def _kernel(self) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
        with mock.patch.dict("os.environ", self._environment):
            manager, client = start_new_kernel(kernel_name="python3", cwd=str(self._path.parent))
        try:
            yield manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)

    def _whole(self, client: BlockingKernelClient, cell: int) -> float:
        begun = time.monotonic()
        message = client.execute(self._cells[cell], store_history=False)
        reply = self._reply(client, message, CELL_TIMEOUT_SECONDS)
        assert reply is not None, f"{self._say(cell)}: no answer"
        assert reply["status"] == "ok", "\n".join([self._say(cell), *reply["traceback"]])
        return time.monotonic() - begun

    def _reply(self, client: BlockingKernelClient, message: str, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                reply = client.get_shell_msg(timeout=left)
            except queue.Empty:
                return None
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"]
        return None

    def _say(self, cell: int) -> str:
        return f"{self._path.name}, code cell {cell}:\n{self._cells[cell]}"
