"""What is common to one running local AWS: where it keeps things, where it answers, its clock.

There is one per process, because moto's state is per process; `current()` returns it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from labkit.cloud.guests import places
from labkit.cloud.guests.processes import Processes
from labkit.cloud.shared.clock import Clock

ACCOUNT_ID = "123456789012"


@dataclass(frozen=True)
class Runtime:
    state_dir: Path
    endpoint_url: str
    region: str
    account_id: str = ACCOUNT_ID
    clock: Clock = field(default_factory=Clock)

    @cached_property
    def guests_dir(self) -> Path:
        """What guests have their directories in: the state directory, if its name is plain."""
        return places.find(self.state_dir)

    @property
    def processes(self) -> Processes:
        return Processes(self.state_dir)

    def directory(self, *parts: str) -> Path:
        """A directory below the state directory, made if it is not there."""
        path = self.state_dir.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def guest_directory(self, *parts: str) -> Path:
        """A directory that guests see, by a name without blanks, made if it is not there."""
        path = self.guests_dir.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


_current: Runtime | None = None


def start(runtime: Runtime) -> None:
    global _current
    _current = runtime


def current() -> Runtime:
    """The running local AWS of this process.

    Raises:
        RuntimeError: no local AWS was started in this process.
    """
    if _current is None:
        raise RuntimeError("no local AWS runs in this process")
    return _current
