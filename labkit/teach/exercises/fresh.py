"""A local AWS that is made for one grading run, and removed after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.lab import Lab, LabError


@contextmanager
def fresh_lab(name: str) -> Iterator[Lab]:
    """An empty local AWS in a directory of its own, which this process talks to for as long as it lasts.

    Raises:
        LabError: it could not be started; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-grade-") as place:
        state = Path(place).resolve() / "state"
        try:
            _labkit("up", state)
            with _environment(_labkit("env", state)):
                yield Lab(name)
        finally:
            _labkit("down", state)


def _labkit(command: str, state: Path) -> Any:
    how = [] if command == "down" else ["--json"]
    done = subprocess.run(
        [sys.executable, "-m", "labkit.cli", command, "--state-dir", str(state), *how],
        capture_output=True,
        text=True,
        check=False,
        cwd=state.parent,
    )
    if done.returncode:
        raise LabError(f"The lab for this grade: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout) if how else None


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with `wanted`, and with no other setting for an AWS in it."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
