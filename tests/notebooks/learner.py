"""A learner who writes a lesson's steps: leaves each open, gets some wrong, and then all right.

python -m tests.notebooks.learner [LESSON ...]     (each in a fresh lab)

`answers.yml` has the wrong answers, and what each is told. A right answer is the reference's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from labkit.teach import edition, steps
from tests.notebooks.execute import CELL_TIMEOUT_SECONDS, fresh_lab

TABLE = Path(__file__).with_name("answers.yml")


@dataclass(frozen=True)
class Wrong:
    """A wrong answer to a step, as a row of the table has it.

    Attributes:
        says: words of what the learner is told.
        answer: what stands where the reference has its answer;
        change: or what in the reference's answer is another text.
        guess: a prediction that does not come true.
        undo: code that takes away what the wrong answer has made.
    """

    step: str
    says: str
    answer: str | None = None
    change: dict[str, str] | None = None
    guess: str | None = None
    undo: str = ""

    def written(self, right: str) -> str:
        """What the learner writes instead of the reference's answer."""
        written = right if self.answer is None else self.answer
        for old, new in (self.change or {}).items():
            assert old in written, f"{self.step}: {old!r} is not in\n{written}"
            written = written.replace(old, new)
        return written.strip("\n")


@cache
def wrong_answers() -> list[Wrong]:
    """All rows of the table."""
    return [Wrong(**row) for row in yaml.safe_load(TABLE.read_text())]


def walk(path: Path, environment: dict[str, str]) -> None:
    """Go through the learner's edition of a lesson, in the lab of this environment."""
    reference = {
        cell["id"]: "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
    }
    cells = json.loads(edition.learners(path.read_text(), path.name))["cells"]
    with _kernel(path, environment) as kernel:
        for cell in cells:
            source, step = "".join(cell["source"]), edition.step_of(cell)
            if cell["cell_type"] == "markdown":
                continue
            if step:
                _write(kernel, step, source, reference[cell["id"]])
            elif predicted := _predicted(source):
                _compare(kernel, predicted, source)
            else:
                kernel.must(source)
                if source.startswith(_CHECK):
                    kernel.must_say(source, "✔")


def _write(kernel: Kernel, step: steps.Step, open_cell: str, right: str) -> None:
    """Run a step's cell as it is given, as wrong answers, and as the reference has it."""
    said = kernel.run(open_cell)
    assert said["status"] == "error" and said["ename"] == "NotWritten", f"{step.id}: {said}"
    assert step.goal in said["evalue"]
    kernel.must_say(f'check.step("{step.id}")', f"✘ Step {step.id}: ")
    for wrong in _wrong(step.id):
        if wrong.guess is None:
            kernel.run(edition.answered(right, wrong.written(edition.answer(right))))
            kernel.must_say(f'check.step("{step.id}")', f"✘ Step {step.id}: ", wrong.says)
            kernel.must(wrong.undo)
    kernel.must(right)


def _compare(kernel: Kernel, step: steps.Step, check: str) -> None:
    """What is said of a prediction, once it is known what came true: of others, and of the right one."""
    kernel.must_say(check, "✔")
    for wrong in _wrong(step.id):
        assert wrong.guess is not None, f"{step.id} is a prediction"
        right = kernel.value(f'__import__("labkit").teach.progress.guess("{step.id}")')
        kernel.must(f'predict("{step.id}", "{wrong.guess}")')
        kernel.must_say(check, f"✘ Step {step.id}: ", wrong.says)
        kernel.must(f'predict("{step.id}", {right})')
    kernel.must(check)


def _wrong(step_id: str) -> list[Wrong]:
    return [wrong for wrong in wrong_answers() if wrong.step == step_id]


_CHECK = 'check.step("'


def _predicted(source: str) -> steps.Step | None:
    """The prediction that a cell compares with what came true; None for all other cells."""
    if not source.startswith(_CHECK):
        return None
    step = steps.find(source.split('"')[1])
    return step if step.choices else None


class Kernel:
    """A running kernel: `must` for what has to work, `run` for what may fail."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, source: str) -> Any:
        """Run one cell; returns the kernel's reply."""
        reply = self._client.execute(
            source, reply=True, timeout=CELL_TIMEOUT_SECONDS, stop_on_error=False
        )
        return reply["content"]

    def must(self, source: str) -> None:
        """Run one cell that has to work."""
        said = self.run(source)
        assert said["status"] == "ok", "\n".join([source, *said.get("traceback", [])])

    def value(self, expression: str) -> str:
        """An expression's value, as Python writes it."""
        reply = self._client.execute(
            "", reply=True, user_expressions={"it": expression}, timeout=CELL_TIMEOUT_SECONDS
        )
        found = reply["content"]["user_expressions"]["it"]
        assert found["status"] == "ok", f"{expression}: {found}"
        return str(found["data"]["text/plain"])

    def must_say(self, expression: str, *words: str) -> None:
        """What an expression shows has to have all of these in it."""
        said = self.value(expression)
        for word in words:
            assert word in said, f"{expression} says: {said}\nand not: {word}"


@contextmanager
def _kernel(path: Path, environment: dict[str, str]) -> Iterator[Kernel]:
    with mock.patch.dict("os.environ", environment):
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(path.parent))
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    for path in [Path(name).resolve() for name in sys.argv[1:]]:
        with fresh_lab() as environment:
            walk(path, environment)
        print(path.name, "is walked", flush=True)


if __name__ == "__main__":
    main()
