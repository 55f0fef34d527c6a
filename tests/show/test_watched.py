"""A wait says what it waits for where a person looks on, and leaves no trace where none does."""

from __future__ import annotations

from typing import Any

import IPython.display
import pytest

from labkit import watched
from tests.conftest import Aws
from tests.waiting import eventually


class Shown:
    """What was displayed, and what took its place."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def display(self, line: Any, display_id: bool) -> Shown:
        self.update(line)
        return self

    def update(self, line: Any) -> None:
        self.lines.append(repr(line))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown()
    monkeypatch.setattr(IPython.display, "display", shown.display)
    monkeypatch.setattr(watched, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(watched, "_AGAIN_SECONDS", 0.01)
    for name in watched._WATCHERS:
        monkeypatch.delenv(name, raising=False)
    return shown


def test_it_says_what_since_when_and_until_when_and_goes_away(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "lesson.ipynb")
    with watched.waiting("execution 1", 600) as wait:
        wait.state = "InProgress, at Build"
        eventually(lambda: len(shown.lines) > 2)
    assert shown.lines[1].startswith("Waiting for execution 1 (InProgress, at Build): since ")
    assert shown.lines[1].endswith("gives up after 600 s.") and shown.lines[-1] == ""


def test_a_waiter_of_aws_that_gives_up_says_what_to_do(aws: Aws) -> None:
    with pytest.raises(watched.GaveUp, match=r"^Waited for a bucket, in vain: .* Make one\.$"):
        watched.wait_until(
            aws.client("s3"),
            "bucket_exists",
            "a bucket",
            "Make one.",
            Bucket="that-nobody-has-made",
            WaiterConfig={"MaxAttempts": 1},
        )


def test_where_nobody_looks_on_nothing_is_shown(shown: Shown) -> None:
    with watched.waiting("execution 1", 600):
        pass
    assert shown.lines == []
