"""The pipeline while it runs: the view of `pipeline`, kept up to date, with the approval's buttons.

A thread asks AWS and sets the widgets' values. At the execution's end it puts the last picture in the widgets'
place, because a notebook that is opened again in another kernel finds no widgets. Until then the view says of
when it is; the static form, for where there are no widgets, that it is a picture of then.
What has changed is spoken by a screen reader (`aria-live`), in a sentence; the seconds that pass are not.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime
from html import escape
from typing import Any

import ipywidgets as widgets
from botocore.exceptions import BotoCoreError, ClientError
from IPython import display as shown_by

from labkit.lab import Lab
from labkit.markup import as_written
from labkit.observe.snapshot import Snapshot
from labkit.observe.waiting import poll_seconds
from labkit.provision.pipeline import approve, reject
from labkit.show.logs import Follower
from labkit.show.pipeline import PipelineView, render
from labkit.show.states import look_of
from labkit.watched import somebody_looks_on

TAIL_LINES = 8


class LiveView:
    """Shows one execution until it is over. `stop` ends it earlier, `wait` waits for it.

    Args:
        execution_id: None takes the one that started last.
    """

    def __init__(self, lab: Lab, execution_id: str | None = None) -> None:
        self.lab, self.view = lab, PipelineView(lab, execution_id)
        self._html, self._tail = widgets.HTML(), widgets.HTML()
        self._buttons = widgets.HBox([_button("Approve", "check"), _button("Reject", "times")])
        self._said, self._spoken = widgets.HTML(), widgets.HTML()
        for button, answer in zip(self._buttons.children, (approve, reject), strict=True):
            button.on_click(lambda _, answer=answer: self._answer(answer))
        parts = [self._spoken, self._html, self._buttons, self._said, self._tail]
        self.widget = widgets.VBox(parts)
        self._stop, self._lines = threading.Event(), deque[str](maxlen=TAIL_LINES)
        self._follower: tuple[str, Follower] | None = None
        self._places, self._last = list[Any](), ""  # where it is displayed, and the last picture
        self._update(self.view.snapshot())  # makes the clients here, not in the thread
        self._thread = threading.Thread(target=self._run, name="live-view", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; the execution goes on."""
        self._stop.set()
        self._thread.join(timeout=10)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the execution is over (seconds; None for ever).

        While a cell waits no button works: answer an approval from code, or before this.
        """
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(poll_seconds(self.lab)):
            try:
                now = self.view.snapshot()
                self._update(now)
            except (ClientError, BotoCoreError) as error:
                self._said.value = f"<p>Stopped looking: {escape(str(error))}</p>"
                return
            if now.over:
                self._end()
                return

    def _end(self) -> None:
        self._last = as_written(f"{self._shown}{self._said.value}{self._tail.value}")
        for place in self._places if somebody_looks_on() else ():
            place.update({"text/html": self._last, "text/plain": repr(self.view)}, raw=True)

    def _update(self, now: Snapshot) -> None:
        self._shown = render(now)
        _set(self._html, self._shown if now.over else _so_far(self._shown))
        _set(self._spoken, _sentence(now))
        _set(self._tail, self._build_log(now))
        waits = now.awaits_approval is not None
        self._buttons.layout.display = "flex" if waits else "none"

    def _build_log(self, now: Snapshot) -> str:
        builds = [one for one in now.actions if one.provider == "CodeBuild" and one.external_id]
        if not builds or builds[-1].external_id is None:
            return ""
        build_id = builds[-1].external_id
        if self._follower is None or self._follower[0] != build_id:
            self._follower = (build_id, Follower(self.lab, build_id))
            self._lines.clear()
        self._lines.extend(self._follower[1].new_lines())
        text = escape("\n".join(self._lines))
        return (
            f"<div>The end of the log of {escape(build_id.split(':')[0])}:</div>"
            f'<pre style="white-space:pre-wrap;line-height:1.3;margin:0">{text}</pre>'
            if text
            else ""
        )

    def _answer(self, answer: Any) -> None:
        try:
            done = answer(self.lab)
            self._said.value = "" if done else "<p>Nothing waits for an answer.</p>"
        except (ClientError, BotoCoreError) as error:
            self._said.value = f"<p>{escape(str(error))}</p>"

    def _ipython_display_(self) -> None:
        display: Any = shown_by.display
        place = display(self._repr_mimebundle_(), raw=True, display_id=True)
        if place is not None:
            self._places.append(place)
        if self._last:
            self._end()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle = self.widget._repr_mimebundle_() or {}
        return {**bundle, "text/html": _then(self._shown), "text/plain": repr(self.view)}


def live(lab: Lab, execution_id: str | None = None) -> LiveView:
    """Show an execution as it goes on, until it is over; the notebook can go on meanwhile."""
    return LiveView(lab, execution_id)


def _sentence(now: Snapshot) -> str:
    """What a screen reader says: each action's state, without the time that it has taken.

    The widget replaces what is in it: an alert is spoken when it comes, where a status has to be there before.
    """
    said = [f"{one.stage} {look_of(one, over=now.over).word}" for one in now.actions]
    text = escape(f"{now.pipeline}: {'; '.join(said)}.")
    hidden = "position:absolute;width:1px;height:1px;overflow:hidden;clip:rect(0,0,0,0)"
    return f'<div role="alert" aria-live="polite" style="{hidden}">{text}</div>'


def _so_far(html: str) -> str:
    """The form that moves; whoever opens it again in another kernel sees that it does not."""
    note = f"As it was at {datetime.now():%H:%M:%S on %-d %B}. If that stands still, run the cell again."
    return f"{html}<p><small>{note}</small></p>"


def _then(html: str) -> str:
    """The saved form: it does not move any more."""
    note = "As it was when this cell ran. Run the cell again to see it as it is now."
    return f"{html}<p><small>{note}</small></p>"


def _button(name: str, icon: str) -> widgets.Button:
    return widgets.Button(description=name, icon=icon, tooltip=f"{name} the waiting release")


def _set(widget: widgets.HTML, value: str) -> None:
    if widget.value != value:
        widget.value = value
