"""Ends what a lab started when its server is gone without having ended it: `kill -9`, out of memory.

A shell waits at a pipe whose other end the server alone holds. It reads nothing until the system
closes that end, when the server's process ends in whatever way; then it ends the lab's processes.
(The kernel's own signal at a parent's death is Linux's alone, and comes at the death of the thread
that started the child.)
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from labkit.cloud.guests.processes import JUPYTERLAB, LAB, Processes

OWNER = "watchdog"
_GRACE_SECONDS = 1.0
_WAIT = 'read -r _; exec "$@"'


def start(processes: Processes) -> None:
    """Watch this process; the shell that waits takes no noticeable time to start, and 1 MB."""
    ours, _held = os.pipe()  # it is open until this process ends, and is not inherited
    processes.start(
        ["/bin/sh", "-c", _WAIT, OWNER, sys.executable, "-P", "-m", __name__],
        owner=OWNER,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd=processes.state_dir,
        stdin=ours,
        stdout=subprocess.DEVNULL,
    )
    os.close(ours)


if __name__ == "__main__":
    Processes(Path(os.environ[LAB])).end(but_not=JUPYTERLAB, grace_seconds=_GRACE_SECONDS)
