"""After set-up the lab needs no network: what builds install lies in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cloud.guests import downloads
from tests.offline import offline

LABKIT = [sys.executable, "-m", "labkit.cli"]


@pytest.mark.slow
def test_the_demo_without_a_network(tmp_path: Path) -> None:
    downloads.fetch(downloads.FETCHED)
    where = ["--state-dir", str(tmp_path / "state")]
    command = offline(*LABKIT, "demo", *where, "--charts", str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    doctor = subprocess.run(
        offline(*LABKIT, "doctor", *where), capture_output=True, text=True, check=True
    )
    assert "Offline: the demo and all lessons need no network" in doctor.stdout


def test_prefetch_fills_what_doctor_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [package] = downloads.missing(tmp_path / "npm")
    assert package.startswith("mustache@")
    with pytest.raises(downloads.DownloadError, match="npm error"):
        monkeypatch.setitem(os.environ, "npm_config_registry", "http://127.0.0.1:9/")
        monkeypatch.setitem(os.environ, "npm_config_fetch_retries", "0")
        downloads.fetch(tmp_path / "npm")
    monkeypatch.undo()
    downloads.fetch(tmp_path / "npm")
    assert not downloads.missing(tmp_path / "npm")
