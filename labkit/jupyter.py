"""JupyterLab, open on the first lesson; and how to reach it from another machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_SECONDS = 60


def run(course: Path, first: str, environment: Mapping[str, str], *, browser: bool) -> int:
    """Run JupyterLab on a course until it ends; returns its exit status.

    Args:
        first: the notebook it opens, by its name below `course`.
        environment: all of it; `JUPYTER_*` say where JupyterLab keeps its own files.
        browser: open one. Otherwise the lesson's address is printed, and how it is reached.
    """
    _settle(Path(environment["JUPYTERLAB_SETTINGS_DIR"]))
    page = f"/lab/tree/{first}" if (course / first).exists() else "/lab"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={course}",
        f"--LabApp.default_url={page}",
        "--LabApp.expose_app_in_browser=True",  # a lesson that is started over shows itself
        *_codespace(environment),
    ]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    jupyter = subprocess.Popen(command, cwd=course, env=environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Jupyter asks, and ends itself
    server = None if browser else _server(jupyter, Path(environment["JUPYTER_RUNTIME_DIR"]))
    if server is not None:
        print(_how_to_reach(server, page), flush=True)
    return jupyter.wait()


def _codespace(environment: Mapping[str, str]) -> list[str]:
    """In a GitHub codespace a page comes from the forwarded port's name, which Jupyter must know.

    GitHub page: "Default environment variables for your codespace".
    """
    name = environment.get("CODESPACE_NAME")
    domain = environment.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")
    if not name or not domain:
        return []
    return [rf"--ServerApp.allow_origin_pat=https://{re.escape(name)}-[0-9]+\.{re.escape(domain)}$"]


def _server(jupyter: subprocess.Popen[bytes], runtime: Path) -> dict[str, Any] | None:
    """What the server says of itself when it listens; None if it ended before, or never says."""
    path = runtime / f"jpserver-{jupyter.pid}.json"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and jupyter.poll() is None:
        try:
            said: dict[str, Any] = json.loads(path.read_text())
            return said
        except (OSError, ValueError):  # not there, or not whole yet
            time.sleep(0.1)
    return None


def _how_to_reach(server: Mapping[str, Any], page: str) -> str:
    port = server["port"]
    query = f"?token={server['token']}" if server["token"] else ""
    return f"""
The first lesson: http://localhost:{port}{page}{query}

A browser on another machine reaches it through ssh; type there, and open the same address:
    ssh -N -L {port}:localhost:{port} USER@THIS-MACHINE
VS Code and Codespaces forward the port by themselves. A container needs --network=host.
"""


# JupyterLab asks its maker for news and updates, unless its settings say not to; and a notebook that is
# opened again in another kernel shows an error in place of each widget, unless it has stored them.
_SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
}


def _settle(settings: Path) -> None:
    """Set what the learner has not set otherwise."""
    for name, values in _SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
