"""A build's disk: as large as its compute type's on AWS, and never the last of the learner's.

There is no file system of its own behind it: what the build has written is looked at while its
commands run, and a command that writes past the limit is ended. AWS page: "Build environment
compute modes and types", disk space.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.cloud.codebuild.models import Build
from labkit.cloud.codebuild.preparation import Prepared
from labkit.cloud.shared import threads

GIGABYTE = 1 << 30
LIMIT = "LABKIT_BUILD_DISK_GB"  # a smaller disk for all builds
_DISK_GB = {"BUILD_GENERAL1_SMALL": 64, "BUILD_GENERAL1_2XLARGE": 824, "BUILD_GENERAL1_XLARGE": 256}
_OTHER_GB = 128
_LEFT_TO_THE_MACHINE = GIGABYTE // 2
_LOOK_SECONDS = 0.5


@contextmanager
def watched(build: Build, prepared: Prepared, say: Callable[[str], None]) -> Iterator[None]:
    """End every command that fills the build's disk, for as long as the body runs."""
    directory = prepared.guest.directory
    over = threading.Event()
    limit = _limit(build)
    free_before = shutil.disk_usage(directory).free

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            free = shutil.disk_usage(directory).free
            # to walk through the directory costs time: only if the build can have written so much
            nearly_full = free < _LEFT_TO_THE_MACHINE
            if not nearly_full and free_before - free < limit:
                continue
            used = _used(directory)
            if used > limit or (nearly_full and used > _LEFT_TO_THE_MACHINE):
                gigabytes = used / GIGABYTE
                say(f"No space left on device: the build has written {gigabytes:.1f} GB")
                prepared.interrupt()

    threads.start(look, name=f"disk of {build.id}", failed=build.break_off)
    try:
        yield
    finally:
        over.set()


def _limit(build: Build) -> float:
    compute = build.settings["environment"]["computeType"]
    own = float(os.environ.get(LIMIT) or "inf")
    return min(own, _DISK_GB.get(compute, _OTHER_GB)) * GIGABYTE


def _used(directory: Path) -> int:
    """Bytes on disk below a directory; what vanishes meanwhile does not count."""
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_blocks * 512
    return total
