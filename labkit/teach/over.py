"""A lesson from its start again: one click, and what the learner wrote is kept beside it."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

import ipywidgets
from IPython.core.display import Javascript

from labkit import course
from labkit.teach import edition, progress

# JupyterLab shows what it has read; `labkit lab` lets a page ask it to read again
_SHOW_IT = "window.jupyterapp?.shell.currentWidget.context.revert()"


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
        kept = begin_again(path)
        said.append_stdout(
            f"Started over; what you had is in {kept.name}. If you still see it here: "
            "File, Reload Notebook from Disk. Then: Kernel, Restart Kernel.\n"
        )
        said.append_display_data(Javascript(_SHOW_IT))  # type: ignore[no-untyped-call]

    button.on_click(clicked)
    return ipywidgets.VBox([button, said])


def begin_again(path: Path) -> Path:
    """Put the lesson there as it was at first; returns where the learner's own is kept."""
    kept = _free(path.with_stem(f"{path.stem}, until {datetime.now():%Y-%m-%d %H.%M}"))
    path.rename(kept)
    reference = (course.source / "notebooks" / path.name).read_text(encoding="utf-8")
    path.write_text(edition.learners(reference, path.name), encoding="utf-8")
    progress.forget(path.name[:2])
    return kept


def _free(path: Path) -> Path:
    others = (path.with_stem(f"{path.stem} ({number})") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], others) if not one.exists())
