"""A lesson from its start again: one click, and what the learner wrote is kept beside it."""

from __future__ import annotations

import itertools
import json
import os
from datetime import datetime
from pathlib import Path

import ipywidgets
from IPython.core.display import Javascript

from labkit import course
from labkit.teach import edition, progress

# What is written and not saved yet lies in the page alone: it saves first, and shows the new one at
# last. `labkit lab` lets JupyterLab hand itself out to its pages for that.
_IN_JUPYTERLAB = """
const app = window.jupyterapp, panel = app.shell.currentWidget;
await panel.context.save();
await panel.sessionContext.session.kernel.requestExecute({code: %s, silent: true}).done;
await panel.context.revert();
await app.commands.execute('apputils:notify', {message: %s, options: {autoClose: 20000}});
"""


def start_over(name: str) -> ipywidgets.Widget:
    """A button that starts this lesson over.

    Args:
        name: of the lesson's notebook, in this directory.
    """
    path = Path.cwd() / name
    button = ipywidgets.Button(
        description="Start this lesson over",
        tooltip="What you have written is kept in a copy",
        layout=ipywidgets.Layout(width="auto"),
    )
    said = ipywidgets.Output()

    def clicked(_: ipywidgets.Button) -> None:
        kept = _free(path.with_stem(f"{path.stem}, until {datetime.now():%Y-%m-%d %H.%M}"))
        told = f"Started over; what you had is in “{kept.name}”. Restart the kernel, too."
        if course.NAMED in os.environ:
            begin = f"import labkit.teach.over as o; o.begin_again({str(path)!r}, {str(kept)!r})"
            script = _IN_JUPYTERLAB % (json.dumps(begin), json.dumps(told))
            said.append_display_data(Javascript(_awaited(script)))  # type: ignore[no-untyped-call]
        else:
            begin_again(path, kept)
            said.append_stdout(f"{told} Then load this page again.\n")

    button.on_click(clicked)
    return ipywidgets.VBox([button, said])


def begin_again(path: str | Path, kept: str | Path) -> None:
    """Put a lesson there as it was at first, and what the learner had to `kept`."""
    path = Path(path)
    path.rename(kept)
    reference = (course.source / course.LESSONS / path.name).read_text(encoding="utf-8")
    path.write_text(edition.learners(reference, path.name), encoding="utf-8")
    progress.forget(path.name[:2])


def _awaited(script: str) -> str:
    return f"(async () => {{{script}}})();"


def _free(path: Path) -> Path:
    others = (path.with_stem(f"{path.stem} ({number})") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], others) if not one.exists())
