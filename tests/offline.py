"""A machine without a network: a namespace in which loopback is all there is."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import pytest

# SIOCSIFFLAGS, IFF_UP; the program `ip` is not on every machine
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def offline(*command: str) -> list[str]:
    """`command` as it is run without a network; skips the test where there are no namespaces."""
    if reason := _impossible():
        pytest.skip(f"no network namespace can be made here: {reason}")
    return [*_unshare(), *command]


def _unshare() -> list[str]:
    own = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--net", "--", sys.executable, "-c", _LOOPBACK_UP]


@cache
def _impossible() -> str | None:
    try:
        subprocess.run([*_unshare(), "true"], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        return error.stderr.strip().splitlines()[-1]
    except OSError as error:
        return str(error)
    return None
