"""What a learner's edition calls: `todo` until a step is written, `predict`, and `check.step`.

A step that is not written fails with a sentence, not with a traceback; one that is wrong is told
what is wrong with it.
"""

from __future__ import annotations

from inspect import signature
from types import EllipsisType
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError
from IPython.core.getipython import get_ipython

from labkit.markup import as_written
from labkit.teach import progress, steps
from labkit.teach.result import Line, Result
from labkit.teach.steps import Step


class NotWritten(Exception):
    """A step has no answer yet; the message says what to write. A notebook shows that alone."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet: {self}"]


class Verdict(Result):
    """What is said of one answer: a single line."""

    def __repr__(self) -> str:
        return str(self.lines[0])

    def _repr_html_(self) -> str:
        return as_written(self._list())


def todo(step_id: str) -> None:
    """Stands where the learner writes.

    Raises:
        NotWritten: always.
    """
    found = steps.find(step_id)
    raise NotWritten(
        f'{found.goal} Write it in place of the line todo("{step_id}"). '
        "The first hint is below this cell."
    )


def predict(step_id: str, guess: str | EllipsisType) -> str:
    """Record what the learner expects, before it happens.

    Args:
        guess: one of the step's choices.

    Raises:
        NotWritten: it is none of them.
    """
    found = steps.find(step_id)
    choices = {choice.casefold(): choice for choice in found.choices}
    known = choices.get(guess.strip().casefold()) if isinstance(guess, str) else None
    if known is None:
        listed = ", ".join(f'"{choice}"' for choice in found.choices)
        said = "" if guess is ... else f"{guess!r} is none of the choices. "
        raise NotWritten(f"{said}{found.goal} One of: {listed}.")
    progress.guessed(step_id, known)
    return f"Noted: {known}"


def step(step_id: str) -> Verdict:
    """Whether the answer to a step is right, and if not, what is wrong with it.

    It looks at this notebook's variables, and at what AWS has.

    Raises:
        ValueError: there is no such step.
    """
    found = steps.find(step_id)
    ok, text = _compared(found) if found.choices else _judged(found)
    if ok or (found.choices and progress.guess(step_id)):
        progress.done(step_id)
    return Verdict(f"step {step_id}", (Line(ok, text if ok else f"Step {step_id}", text),))


def _judged(found: Step) -> tuple[bool, str]:
    """Of something written: whether it is right, and what to say."""
    try:
        fault = next(found.function(**_seen_by(found)), None)
    except ClientError as error:
        said = error.response["Error"]
        fault = f"AWS says {said['Code']}: {said.get('Message', '')}"
    except yaml.YAMLError as error:
        fault = f"it is no YAML: {error}"
    except _Missing as missing:
        fault = f"{missing} is not there yet. Write the cell of this step, and run it"
    except (LookupError, TypeError, AttributeError, ValueError, BotoCoreError) as error:
        fault = f"it has another shape than this step needs; see the hints ({error!r})"
    return fault is None, fault or f"Step {found.id}: {found.goal}"


def _compared(found: Step) -> tuple[bool, str]:
    """Of a prediction: whether it came true, and why."""
    guess = progress.guess(found.id)
    if guess is None:
        return False, f"guess first, then run what follows. {found.goal}"
    try:
        actual: str = found.function(**_seen_by(found))
    except _Missing as missing:
        return False, f"{missing} is not there yet. Run the cells between the guess and this one"
    why = found.choices[actual]
    if guess == actual:
        return True, f"Step {found.id}: you said “{guess}”, and so it was. {why}"
    return False, f"you said “{guess}”; it was “{actual}”. {why}"


class _Missing(Exception):
    """A variable that a check looks at is not in the notebook."""


def _seen_by(found: Step) -> dict[str, Any]:
    shell = get_ipython()
    names: dict[str, Any] = shell.user_ns if shell else {}
    wanted = list(signature(found.function).parameters)
    for name in wanted:
        if name not in names:
            raise _Missing(name)
    return {name: names[name] for name in wanted}
