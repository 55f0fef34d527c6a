"""Where guests live: below the state directory or, if its name is not plain, in a private directory.

Build files and hooks seldom quote `$CODEBUILD_SRC_DIR`, `$HOME` or the name of a temporary file, and
on AWS they need not. So no guest's directory has a name with a space or a letter that is not
ASCII's, whatever the state directory is called (on macOS it always has a space). The private
directory is remembered in the state directory, and goes with the lab.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_PLAIN = re.compile(r"[\w/.+-]{1,80}", re.ASCII)
_PREFIX = "labkit-"
REMEMBERED = "guests"  # the file of the state directory that says where


def find(state_dir: Path) -> Path:
    """The directory that the guests of a lab have theirs in; it is made if it is not there."""
    if _PLAIN.fullmatch(str(state_dir)):
        return state_dir
    remembered = _remembered(state_dir)
    if remembered is None:
        remembered = _make() or state_dir
        (state_dir / REMEMBERED).write_text(str(remembered), encoding="utf-8")
    return remembered


def remove(state_dir: Path) -> None:
    """Remove the private directory of a lab that is down, if it had one."""
    if (remembered := _remembered(state_dir)) is not None:
        shutil.rmtree(remembered, ignore_errors=True)
    (state_dir / REMEMBERED).unlink(missing_ok=True)


def _make() -> Path | None:
    """A directory that only its owner may read, in the first directory for such that is plain."""
    for name in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        parent = Path(name).resolve()  # tools ask for real names
        if _PLAIN.fullmatch(str(parent)):
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    return None


def _remembered(state_dir: Path) -> Path | None:
    with suppress(OSError):
        path = Path((state_dir / REMEMBERED).read_text(encoding="utf-8"))
        about = path.lstat()
        ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
        return path if ours and path.name.startswith(_PREFIX) else None
    return None
