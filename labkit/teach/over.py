"""A lesson from its start again: one click, and what the learner wrote is kept beside it."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

import ipywidgets

from labkit import course
from labkit.teach import edition, progress, steps

# What is written and not saved yet lies in the page alone: it saves first, and shows the new one at
# last. `labkit lab` lets JupyterLab hand itself out to its pages for that.
_IN_JUPYTERLAB = """
(async () => {
  const app = window.jupyterapp, panel = app.shell.currentWidget;
  await panel.context.save();
  await panel.sessionContext.session.kernel.requestExecute({code: %s, silent: true}).done;
  await panel.context.revert();
  await app.commands.execute('apputils:notify', {message: %s, options: {autoClose: 20000}});
})();
"""
_SAYS, _KEPT = "Start this lesson over", "What you have written is kept in a copy"


@dataclass(frozen=True)
class Button:
    """A button of the page alone, so that it works in whatever kernel the lesson is opened again."""

    path: Path

    def _repr_html_(self) -> str:
        begin = f"import labkit.teach.over as o; o.begin_again({str(self.path)!r})"
        told = "Started over; what you had is kept beside it, under a name with the time in it. Restart the kernel, too."
        script = _IN_JUPYTERLAB % (json.dumps(begin), json.dumps(told))
        return f'<button class="jupyter-button" title="{_KEPT}" onclick="{escape(script)}">{_SAYS}</button>'

    def __repr__(self) -> str:
        return _SAYS


def start_over(name: str) -> Button | ipywidgets.Widget:
    """A button that starts this lesson over.

    Args:
        name: of the lesson's notebook, in this directory.
    """
    path = Path.cwd() / name
    if course.NAMED in os.environ:
        return Button(path)
    button = ipywidgets.Button(
        description=_SAYS, tooltip=_KEPT, layout=ipywidgets.Layout(width="auto")
    )
    said = ipywidgets.Output()

    def clicked(_: ipywidgets.Button) -> None:
        kept = begin_again(path)
        said.append_stdout(
            f"Started over; what you had is in “{kept.name}”. Restart the kernel, too. "
            "Then load this page again.\n"
        )

    button.on_click(clicked)
    return ipywidgets.VBox([button, said])


def begin_again(path: str | Path) -> Path:
    """Put a lesson there as it was at first; returns where what the learner had is now."""
    path = Path(path)
    kept = _free(path.with_stem(f"{path.stem}, until {datetime.now():%Y-%m-%d %H.%M}"))
    path.rename(kept)
    reference = (course.source / course.LESSONS / path.name).read_text(encoding="utf-8")
    path.write_text(edition.learners(reference, path.name), encoding="utf-8")
    progress.forget(steps.lesson_of(path.name))
    return kept


def _free(path: Path) -> Path:
    others = (path.with_stem(f"{path.stem} ({number})") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], others) if not one.exists())
