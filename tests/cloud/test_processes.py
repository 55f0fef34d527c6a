"""A process that the local AWS starts can be found, and ended, from the moment it is started."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from labkit.cloud.guests.processes import OWNER, Processes

pytestmark = pytest.mark.guests


def test_a_process_that_was_just_started_shows_whose_it_is(tmp_path: Path) -> None:
    # Linux says that a program runs before its environment can be read: about one in ten
    script = tmp_path / "hold"
    script.write_text("#!/bin/sh\nwhile :; do sleep 1; done\n", encoding="utf-8")
    script.chmod(0o755)
    processes = Processes(tmp_path)
    for number in range(200):
        owner = f"host/{number}"
        started = processes.start(
            [str(script)], owner=owner, env={"PATH": os.defpath}, cwd=tmp_path
        )
        environment = psutil.Process(started.pid).environ()
        started.kill()
        started.wait()
        assert environment.get(OWNER) == owner


def test_one_that_is_over_at_once_is_not_waited_for(tmp_path: Path) -> None:
    started = Processes(tmp_path).start(
        ["true"], owner="host/x", env={"PATH": os.defpath}, cwd=tmp_path
    )
    assert started.wait() == 0
    assert not Processes(tmp_path).find()
