"""The pipeline in a terminal: a picture that moves where one can be drawn, else a line a change.

`labkit demo` uses it; so does whoever reads a lesson over ssh.
"""

from __future__ import annotations

import time
from collections import deque

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from labkit.lab import Lab
from labkit.missing import NotThere
from labkit.observe.snapshot import Action, Snapshot, snapshot
from labkit.observe.waiting import TIMEOUT_SECONDS, latest_execution, poll_seconds
from labkit.show.logs import Follower
from labkit.show.states import duration, look, look_of

TAIL_LINES = 8


def follow(
    lab: Lab,
    execution_id: str | None = None,
    *,
    console: Console | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Snapshot:
    """Show an execution in the terminal until it is over, or waits for an approval.

    Args:
        execution_id: None takes the one that started last.
        console: where to; None is the standard output.
        timeout: seconds.

    Returns:
        The execution as it then is.

    Raises:
        LookupError: the pipeline has had no execution.
        TimeoutError: it is not over in time.
    """
    chosen = execution_id or latest_execution(lab)
    if chosen is None:
        raise NotThere(f"{lab.pipeline} has had no execution yet: pipeline.start(lab) starts one.")
    target = console or Console(highlight=False)
    shown = _Picture(target) if target.is_terminal else _Lines(target)
    build_log, deadline = _BuildLog(lab), time.monotonic() + timeout
    with shown:
        while True:
            with lab.must_answer():
                now = snapshot(lab, chosen)
            shown.show(now, build_log.new_lines(now))
            if now.over or now.awaits_approval:
                return now
            if time.monotonic() > deadline:
                raise TimeoutError(f"Execution {chosen} is not over after {timeout:.0f} s")
            time.sleep(poll_seconds(lab))


class _BuildLog:
    """The new lines of the logs of an execution's builds, by build id."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._followers = lab, dict[str, Follower]()

    def new_lines(self, now: Snapshot) -> dict[str, list[str]]:
        ids = [one.external_id for one in now.actions if one.provider == "CodeBuild"]
        return {build: self._follower(build).new_lines() for build in ids if build}

    def _follower(self, build: str) -> Follower:
        return self._followers.setdefault(build, Follower(self._lab, build))


class _Lines:
    """One line for every action that changes; a build's log, indented, between its two."""

    def __init__(self, console: Console) -> None:
        self._console, self._before = console, dict[tuple[str, str], str]()
        self._obstacle: str | None = None

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, now: Snapshot, logs: dict[str, list[str]]) -> None:
        for action in now.actions:
            lines = logs.get(action.external_id or "", [])
            if lines and (action.stage, action.name) not in self._before:
                started = look("InProgress")
                self._change(action, started.word, started.sign)
            for line in lines:
                self._print(f"    | {line}")
            if action.status is not None:
                shown = look_of(action)
                took = f" after {duration(action.seconds)}" if action.ended else ""
                self._change(action, shown.word, shown.sign, took)
        if now.waits_before and now.obstacle not in (None, self._obstacle):
            self._print(f"{now.pipeline} cannot go on: {now.obstacle}")
        self._obstacle = now.obstacle
        if now.over:
            why = f" ({now.failure})" if now.failure else ""
            self._print(f"{now.pipeline}: {now.status} after {duration(now.seconds)}{why}")

    def _change(self, action: Action, word: str, sign: str, took: str = "") -> None:
        key = (action.stage, action.name)
        if self._before.get(key) != word:
            self._before[key] = word
            self._print(f"{sign} {action.stage} / {_name(action)}: {word}{took}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


class _Picture:
    """A table of the actions and the end of the build's log, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._tail = deque[str](maxlen=TAIL_LINES)

    def __enter__(self) -> _Picture:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(*exception)  # type: ignore[arg-type]

    def show(self, now: Snapshot, logs: dict[str, list[str]]) -> None:
        for lines in logs.values():
            self._tail.extend(lines)
        builds = any(
            one.provider == "CodeBuild" and one.status == "InProgress" for one in now.actions
        )
        tail = Text("\n".join(self._tail), style="dim") if builds else Text("")
        why = Text(now.failure or now.obstacle or "", style="red" if now.failure else "yellow")
        self._live.update(Group(_table(now), why, tail) if builds else Group(_table(now), why))


def _table(now: Snapshot) -> Table:
    commit = f" {now.commit[:8]} {now.message}" if now.commit else ""
    state = look(now.status)
    table = Table(title=f"{now.pipeline}{commit}", title_justify="left", box=None, padding=(0, 2))
    for column in ("Stage", "Action", "State"):
        table.add_column(column)
    table.add_column("Time", justify="right")
    for action in now.actions:
        shown = look_of(action, over=now.over)
        table.add_row(
            action.stage,
            _name(action),
            Text(f"{shown.sign} {shown.word}", style=shown.style),
            duration(action.seconds),
        )
    table.add_row(
        "", "", Text(f"{state.sign} {state.word}", style=state.style), duration(now.seconds)
    )
    return table


def _name(action: Action) -> str:
    return action.name if action.name == action.provider else f"{action.name} ({action.provider})"
