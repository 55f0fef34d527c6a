"""A learner's way through a lesson in JupyterLab: guesses, writes, opens hints, approves, restarts, and reads.

Right answers are the reference's own. In the middle, where a release waits for an approval or else after half
of the cells, the learner closes the notebook and opens it again, then with a new kernel, and restarts that one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.teach import edition
from tests.browser import jupyterlab
from tests.browser.lesson import Cell, Lesson
from tests.notebooks.execute import ROOT
from tests.waiting import eventually

_LOAD_SECONDS = 120  # of a page on a busy machine
_STALE = "As it was at"
_OPEN = "todo("
_CHECK = re.compile(r"\bcheck\.\w+\(")


class Walk:
    """One way through one lesson.

    Args:
        name: of the lesson's notebook, without its ending.
        looks: the themes and widths (pixels) in which it is looked at on the way.
    """

    def __init__(self, lesson: Lesson, name: str, looks: Sequence[tuple[str, int]]) -> None:
        self._lesson, self._name, self._looks = lesson, name, looks
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
        self._reference: dict[str, dict[str, Any]] = {cell["id"]: cell for cell in cells}
        self.approvals = 0  # that the learner has clicked
        self.wrong: list[str] = []

    @property
    def steps(self) -> set[str]:
        """The ids of the lesson's steps."""
        found = [edition.step_of(cell) for cell in self._reference.values()]
        return {step.id for step in found if step}

    @property
    def asks_for_approval(self) -> bool:
        """Whether the lesson tells the learner to click a button."""
        return any(
            "Click **Approve**" in "".join(one["source"]) for one in self._reference.values()
        )

    def go(self, *, interrupt: bool) -> None:
        """Go through it; `wrong` has what was wrong with the page then.

        Args:
            interrupt: stop in the middle, and come again.
        """
        cells = list(self._lesson.cells())
        middle, tried = len(cells) // 2 if interrupt else 0, False
        for cell in cells:
            if not cell.is_code:
                self._lesson.open_all_below(cell)
                continue
            if not tried and _OPEN in cell.source:
                self._try_unwritten(cell)
                tried = True
            self._do(cell)
            waits = self._waits(cell)
            if middle and (cell.number >= middle or waits):
                self._interrupt(cells[: cell.number + 1], waits=waits)
                middle = 0
            if waits:
                self._approve()
        self._look()

    def reach(self, text: str) -> Cell:
        """Go as far as the first cell of code that has this text in it; returns that cell."""
        for cell in self._lesson.cells():
            if cell.is_code:
                self._do(cell)
                if text in cell.source:
                    return cell
        raise LookupError(text)

    def start_over(self, course: Path) -> None:
        """Come again in a new kernel, start the lesson over, and find what one had in a copy."""
        lesson, written = self._lesson, {cell.id: cell.source for cell in self._lesson.cells()}
        lesson.close()
        lesson.shut_down()
        lesson.reopen()
        lesson.click("Start this lesson over")
        [kept] = eventually(
            lambda: list((course / "notebooks").glob(f"{self._name}, until *.ipynb")), _LOAD_SECONDS
        )
        cells = json.loads(kept.read_text())["cells"]
        assert {cell["id"]: "".join(cell["source"]) for cell in cells} == written
        eventually(lambda: not any(map(lesson.shown, lesson.cells())), _LOAD_SECONDS)
        assert (_OPEN in str(list(lesson.cells()))) == bool(self.steps)

    def _do(self, cell: Cell) -> None:
        """Write a cell as the reference has it, if it is the learner's, and run it."""
        known = self._reference.get(cell.id)
        if known and edition.step_of(known):
            right = "".join(known["source"])
            self._lesson.write(cell, edition.answered(right, edition.answer(right)))
        self._run(cell)
        self._lesson.open_all_below(cell)

    def _run(self, cell: Cell) -> None:
        said = self._lesson.run(cell)
        assert not self._lesson.failed(cell), f"{cell.source}\n{said}"
        if _CHECK.search(cell.source):
            self._must_say(cell, "(?s)(?!.*✘).*✔")

    def _try_unwritten(self, cell: Cell) -> None:
        self._lesson.run(cell)
        self._must_say(cell, r"Not yet: (?!.*Traceback)")

    def _waits(self, cell: Cell) -> bool:
        """Whether a live view that the cell has opened waits for an answer, and offers it."""
        if ".live(" not in cell.source:
            return False
        shown = eventually(lambda: self._lesson.shown(cell), _LOAD_SECONDS)
        if "Waits for approval" not in shown:
            return False
        return eventually(lambda: self._lesson.offers("Approve"), _LOAD_SECONDS)

    def _approve(self) -> None:
        self._lesson.click("Approve")
        eventually(lambda: not self._lesson.offers("Approve"), _LOAD_SECONDS)
        self.approvals += 1

    def _interrupt(self, done: list[Cell], *, waits: bool) -> None:
        """Close, open again; close, open again in a new kernel; restart that, and run all from the top."""
        lesson = self._lesson
        before = [_lasting(lesson.shown(cell)) for cell in done]
        lesson.close()
        lesson.reopen()
        self._must_show(done, before)
        assert lesson.offers("Approve") == waits
        lesson.close()
        lesson.shut_down()
        lesson.reopen()
        self._must_show(done, before)
        assert (_STALE in lesson.shown(done[-1])) == waits, lesson.shown(done[-1])
        self._look()
        lesson.restart()
        for cell in done:
            if cell.is_code:
                self._run(cell)
        assert self._waits(done[-1]) == waits

    def _must_say(self, cell: Cell, pattern: str) -> None:
        """What stands below a cell, which comes a moment later, has to match."""
        eventually(
            lambda: self._lesson.shown(cell),
            _LOAD_SECONDS,
            enough=lambda said: re.match(pattern, said),
            what=f"{cell.source}\nsays",
        )

    def _must_show(self, cells: list[Cell], before: list[str]) -> None:
        for cell, shown in zip(cells, before, strict=True):
            eventually(
                lambda cell=cell: _lasting(self._lesson.shown(cell)),
                _LOAD_SECONDS,
                enough=lambda now, shown=shown: now == shown,
                what=f"{cell.source}\nshowed\n{shown}\nand when opened again",
            )

    def _look(self) -> None:
        page = self._lesson.page
        for theme, width in self._looks:
            jupyterlab.look(page, theme, width)
            found = [*jupyterlab.faint(page), *jupyterlab.cut_off(page), *jupyterlab.formulas(page)]
            self.wrong += [f"{theme}, {width} pixels: {one}" for one in found]
        jupyterlab.look(page, *self._looks[0])


def _lasting(shown: str) -> str:
    """The same without what goes on while a release waits: the time."""
    return re.sub(r"\d\d:\d\d:\d\d|\d+(\.\d+)? s\b|\d+ min\b", "…", shown)


def steps_done(course: Path) -> set[str]:
    """The ids of the steps that are done, as the course folder keeps them."""
    kept = course / ".labkit-progress.json"
    return set(json.loads(kept.read_text())["done"]) if kept.exists() else set()
