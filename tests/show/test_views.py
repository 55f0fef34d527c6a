"""One execution in HTML, in text and line by line: the state in words, the same text every time."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from labkit.observe.snapshot import Action, Snapshot, Stage
from labkit.show.pipeline import as_text, render
from labkit.show.states import duration
from labkit.show.terminal import _Lines, _Picture

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def action(name: str, provider: str, status: str | None = None, **more: object) -> Action:
    if status is None:
        return Action(name, name, provider)
    ended = None if status == "InProgress" else START + timedelta(seconds=2)
    return Action(name, name, provider, status, START, ended, **more)  # type: ignore[arg-type]


def execution(status: str, *actions: Action, message: str = "Make it green") -> Snapshot:
    stages = tuple(Stage(one.name, (one,)) for one in actions)
    return Snapshot("hello-pipeline", "e-1", status, "", "0123456789abcdef", message, stages)


FAILED = execution(
    "Failed",
    action("Source", "CodeCommit", "Succeeded"),
    action("Build", "CodeBuild", "Failed", external_id="hello-build:1", error="exit status 1"),
    action("Deploy", "CodeDeploy"),
)
WAITING = execution(
    "InProgress",
    action("Build", "CodeBuild", "Succeeded"),
    action("Approve", "Manual", "InProgress", token="t"),
    action("Deploy", "CodeDeploy"),
)


def test_every_state_is_said_in_words() -> None:
    html = render(FAILED)
    for words in ("Stage Source: Succeeded", "Stage Build: Failed", "Stage Deploy: Didn't run"):
        assert f'aria-label="{words}"' in html
    assert "<strong>Why:</strong> Build: exit status 1" in html
    assert "Waits for approval" in render(WAITING) and "Not started" in render(WAITING)


def test_a_view_is_the_same_text_every_time_and_needs_no_ids() -> None:
    assert render(FAILED) == render(FAILED)
    assert " id=" not in render(FAILED) and "<script" not in render(FAILED)
    assert "<style" not in render(FAILED)


def test_what_others_wrote_does_not_become_markup() -> None:
    now = execution("Succeeded", action("Source", "CodeCommit", "Succeeded"), message="<b>&\nmore")
    assert "&lt;b&gt;&amp;" in render(now)
    assert "more" not in render(now)


def test_the_text_form_has_a_line_for_each_action() -> None:
    assert as_text(FAILED).splitlines() == [
        "hello-pipeline: Failed",
        "  ✔ Source / Source (CodeCommit): Succeeded 2.0 s",
        "  ✘ Build / Build (CodeBuild): Failed 2.0 s",
        "  · Deploy / Deploy (CodeDeploy): Didn't run",
        "  Build: exit status 1",
    ]


def test_an_execution_behind_a_held_stage_says_so() -> None:
    now = execution("InProgress", action("A", "CodeBuild", "Succeeded"), action("B", "Manual"))
    assert now.waits_before == "B"
    assert "Waits before stage B" in render(now)
    assert WAITING.waits_before is None and WAITING.awaits_approval is not None


def test_durations_read_well() -> None:
    assert [duration(it) for it in (None, 0.04, 8.44, 59.94, 65, 3661)] == [
        "", "0.0 s", "8.4 s", "59.9 s", "1 min 05 s", "61 min 01 s",
    ]  # fmt: skip


def test_without_a_terminal_there_is_a_line_for_each_change() -> None:
    output = io.StringIO()
    lines = _Lines(Console(file=output, highlight=False, width=40))
    started = execution("InProgress", action("Build", "CodeBuild", "InProgress"))
    lines.show(started, {})
    lines.show(started, {})
    lines.show(FAILED, {"hello-build:1": ["npm test [x]", "not ok " + 60 * "."]})
    assert output.getvalue().splitlines() == [
        "▶ Build / Build (CodeBuild): In progress",
        "✔ Source / Source (CodeCommit): Succeeded after 2.0 s",
        "    | npm test [x]",
        "    | not ok " + 60 * ".",
        "✘ Build / Build (CodeBuild): Failed after 2.0 s",
        "hello-pipeline: Failed after 2.0 s (Build: exit status 1)",
    ]


def test_in_a_terminal_the_picture_is_drawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")  # a dumb one gets lines, rightly
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    running = execution("InProgress", action("Build", "CodeBuild", "InProgress"))
    with _Picture(console) as picture:
        picture.show(running, {"hello-build:1": [f"line {number}" for number in range(20)]})
        picture.show(FAILED, {})
    drawn = output.getvalue()
    assert "\x1b[" in drawn and "✘ Failed" in drawn and "exit status 1" in drawn
