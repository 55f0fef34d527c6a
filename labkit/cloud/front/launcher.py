"""Starts a local AWS in the background, finds it again, and ends it with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from labkit.cloud.guests import places
from labkit.cloud.guests.processes import JUPYTERLAB, LAB, OWNER, Processes, free_port, wait_for

START_SECONDS = 60
# what outlives a lab in its directory: downloads, and its address and keys, which open shells have
_KEPT = ("cache", "tools", "jupyter", "port", "keys.json", "up.lock")


class LaunchError(Exception):
    """The local AWS could not be started; the message says why and what to do."""


def status(state_dir: Path) -> dict[str, Any] | None:
    """The description of the lab that runs in `state_dir`, or None.

    Keys: endpoint_url, region, account_id, access_key_id, secret_access_key, pid, state_dir,
    guests_dir, isolation (in words).
    """
    try:
        description = json.loads((state_dir / "lab.json").read_text())
        process = psutil.Process(description["pid"])
        # a number alone may by now be some other process
        alive = abs(process.create_time() - description.pop("pid_created")) < 1
        return description if alive and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def up(state_dir: Path, port: int = 0) -> tuple[dict[str, Any], bool]:
    """Start the local AWS of `state_dir` and return when it answers.

    Args:
        port: the loopback port; 0 takes the one this lab had last, or a free one.

    Returns:
        Its description (see `status`), and whether this call started it.

    Raises:
        LaunchError: the directory cannot be written, the port is taken, or it did not start.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        state_dir.chmod(0o700)
    except OSError as error:
        raise LaunchError(
            f"The state directory {state_dir} cannot be used: {error.strerror}. "
            "Name another with --state-dir."
        ) from error
    with _locked(state_dir):
        running = status(state_dir)
        if running is not None:
            return running, False
        # what a killed lab left behind; not the JupyterLab that this may be typed in
        Processes(state_dir).end(but_not=JUPYTERLAB)
        _clear(state_dir, keep=("work", "log", *_KEPT))
        return _start(state_dir, port), True


def down(state_dir: Path, *, but_not: str | None = None) -> int:
    """End the local AWS of `state_dir` and every process it started; returns how many were ended.

    The AWS inside is gone with it. Files below `work` stay.

    Args:
        but_not: an owner whose processes are left alone.
    """
    running = status(state_dir)
    ended = 0
    if running is not None:
        server = psutil.Process(running["pid"])
        started = Processes(state_dir)
        ended = len(started.find(but_not=but_not))
        server.terminate()
        for process in wait_for([server], 10):
            process.kill()
            wait_for([process], 5)
        _wait_until_closed(int(running["endpoint_url"].rpartition(":")[2]))
        ended += 1
    with contextlib.suppress(FileNotFoundError):
        (state_dir / "lab.json").unlink()
    if state_dir.exists():
        ended += Processes(state_dir).end(but_not=but_not)
        places.remove(state_dir)
    return ended


def _wait_until_closed(port: int, seconds: float = 5) -> None:
    """A process may have ended a moment before the system has closed its port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.02)


def reset(state_dir: Path) -> dict[str, Any]:
    """A fresh, empty AWS; downloads stay, and what an open JupyterLab needs to go on with it."""
    down(state_dir, but_not=JUPYTERLAB)
    if state_dir.exists():
        _clear(state_dir, keep=_KEPT)
    return up(state_dir)[0]


def _start(state_dir: Path, port: int) -> dict[str, Any]:
    log = state_dir / "log"
    # a port that the system itself chose at bind cannot be bound again while old connections linger
    wanted = port or _last_port(state_dir) or free_port()
    command = [sys.executable, "-m", "labkit.cloud.front", "--state-dir", str(state_dir)]
    with log.open("ab") as output:
        server = subprocess.Popen(
            [*command, "--port", str(wanted)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=state_dir,
            env=_server_environment(),
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        running = status(state_dir)
        if running is not None and running["pid"] == server.pid:
            (state_dir / "port").write_text(running["endpoint_url"].rpartition(":")[2])
            return running
        if server.poll() is not None:
            break
        time.sleep(0.02)
    server.kill()
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    if "ddress already in use" in tail or "No socket could be created" in tail:
        if not port:
            (state_dir / "port").unlink(missing_ok=True)
            return _start(state_dir, 0)
        raise LaunchError(f"Port {port} is taken. Choose another with --port, or leave it out.")
    raise LaunchError(f"The local AWS did not start. The end of {log}:\n{tail}")


def _server_environment() -> dict[str, str]:
    """This process's environment, less the user's AWS settings and the marks of an owner."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name not in (LAB, OWNER)
    }


def _last_port(state_dir: Path) -> int:
    """A lab keeps its port, so that clones and open shells still find it."""
    with contextlib.suppress(OSError, ValueError):
        return int((state_dir / "port").read_text())
    return 0


def _clear(state_dir: Path, keep: tuple[str, ...]) -> None:
    places.remove(state_dir)
    for path in state_dir.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Two `labkit up` at once start one lab."""
    import fcntl

    with (state_dir / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environment(description: dict[str, Any]) -> dict[str, str]:
    """What makes boto3, the AWS CLI and git talk to this lab, and to nothing else.

    An empty credentials file is named so that no profile of the user's own is read.
    """
    endpoint = description["endpoint_url"]
    # -P: nothing of the clone that git stands in is imported
    helper = f"!{shlex.quote(sys.executable)} -P -m labkit.git_credential"
    git = {
        f"credential.{endpoint}.helper": ["", helper],
        f"credential.{endpoint}.useHttpPath": ["true"],
    }
    pairs = [(key, value) for key, values in git.items() for value in values]
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": description["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": description["secret_access_key"],
        "AWS_DEFAULT_REGION": description["region"],
        "AWS_REGION": description["region"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "LABKIT_STATE_DIR": description["state_dir"],
        **no_proxy(),
        "GIT_CONFIG_COUNT": str(len(pairs)),
        **{f"GIT_CONFIG_KEY_{index}": key for index, (key, _) in enumerate(pairs)},
        **{f"GIT_CONFIG_VALUE_{index}": value for index, (_, value) in enumerate(pairs)},
    }


def no_proxy() -> dict[str, str]:
    """The machine's exceptions from its proxy, and loopback: the lab is not behind one."""
    own = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = ",".join(dict.fromkeys([*filter(None, own.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def jupyter_environment(description: dict[str, Any]) -> dict[str, str]:
    """Where JupyterLab and matplotlib keep their own files: in the lab's one directory too."""
    place = Path(description["state_dir"]) / "jupyter"
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
    }
    place.mkdir(parents=True, exist_ok=True)
    return {name: str(place / directory) for name, directory in names.items()}


# Variables of the user's own AWS set-up that would send a lab's client elsewhere.
UNSET = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
         "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE")  # fmt: skip
