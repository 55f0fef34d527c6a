"""The learner's edition of a lesson, made from the reference in `notebooks/`.

In the reference a cell that the learner writes has its step's id as metadata (`labkit.step`), and
around the answer nbgrader's marks `### BEGIN SOLUTION` and `### END SOLUTION`. In the learner's
edition stand its goal and `todo` instead, the hints below it, each inside the one before, and
inside the last the answer to compare with. There are no outputs, so nobody else's results stand
under what the learner is to find out.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from labkit.teach import steps
from labkit.teach.steps import Step

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_WIDTH = 96


def learners(reference: str, name: str) -> str:
    """The learner's edition as the text of a notebook; the same each time.

    Args:
        reference: the text of the reference notebook.
        name: its file's name.
    """
    notebook = json.loads(reference)
    first, *others = notebook["cells"]
    cells = [first, _start_over(name), *(made for cell in others for made in _cells(cell))]
    return json.dumps({**notebook, "cells": cells}, indent=1, ensure_ascii=False) + "\n"


def step_of(cell: dict[str, Any]) -> Step | None:
    """The step that a cell of a notebook is for; None for all others."""
    named = cell["metadata"].get("labkit", {}).get("step")
    return steps.find(named) if named else None


def answer(source: str) -> str:
    """What stands between the marks of a cell, without their indentation."""
    _, solution, _ = _parts(source)
    return textwrap.dedent(solution).strip("\n")


def placeholder(step: Step) -> str:
    """What stands in the learner's edition where the reference has its answer."""
    if step.choices:
        choices = " or ".join(f'"{choice}"' for choice in step.choices)
        lines = [f"Step {step.id} · Guess first. {step.goal}", f"Instead of ... write {choices}."]
        return f'{_comment(lines)}\npredict("{step.id}", ...)'
    lines = [f"Step {step.id} · {step.goal}", f"AWS page: {step.page}"]
    return f'{_comment(lines)}\ntodo("{step.id}")'


def answered(source: str, written: str) -> str:
    """A cell of the reference with something else written in it."""
    before, solution, after = _parts(source)
    margin = solution[: len(solution) - len(solution.lstrip())]
    return before + textwrap.indent(written, margin) + ("\n" + after if after else "")


def _cells(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if cell["cell_type"] != "code":
        yield cell
        return
    empty = {**cell, "outputs": [], "execution_count": None}
    step = step_of(cell)
    if step is None:
        yield empty
        return
    source = "".join(cell["source"])
    yield {**empty, "source": _lines(answered(source, placeholder(step)))}
    yield _markdown(f"{cell['id']}-hints", _help(step, answer(source)))


def _start_over(name: str) -> dict[str, Any]:
    source = f'from labkit.teach import start_over, todo\n\nstart_over("{name}")'
    return {
        "cell_type": "code",
        "id": "start-over",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": _lines(source),
    }


def _markdown(cell_id: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": _lines(text)}


def _help(step: Step, solution: str) -> str:
    """Disclosures in each other, so that they open one by one."""
    reference = f"AWS page: *{step.page}*\n\n```python\n{solution}\n```"
    inner = _details("The reference, to compare with", reference)
    for number in (3, 2, 1):
        inner = _details(f"Step {step.id}, hint {number}", f"{step.hints[number - 1]}\n\n{inner}")
    return inner


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _parts(source: str) -> tuple[str, str, str]:
    """What stands before the marks, between them, and after."""
    lines = source.splitlines(keepends=True)
    begin, end = (
        next(number for number, line in enumerate(lines) if line.strip() == mark)
        for mark in (BEGIN, END)
    )
    return "".join(lines[:begin]), "".join(lines[begin + 1 : end]), "".join(lines[end + 1 :])


def _comment(texts: list[str]) -> str:
    return "\n".join(
        textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ") for text in texts
    )


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
