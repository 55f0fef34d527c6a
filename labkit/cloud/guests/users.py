"""Linux users of guests: the machine's own, and those that AWS's images have (`users.toml`).

A user that this machine has not got is in the guest's own `/etc/passwd` and `/etc/group`, where the
guest has one, with a number that nobody has here.
"""

from __future__ import annotations

import grp
import os
import pwd
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("users.toml")
_FREE = 59_000  # from here on, for a number of AWS's that somebody else has on this machine


@dataclass(frozen=True)
class User:
    """A Linux user."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def find(name: str) -> User | None:
    """The user of that name that a guest has."""
    with suppress(KeyError, ValueError):
        known = pwd.getpwnam(name)
        return User(name, known.pw_uid, known.pw_gid, known.pw_dir, known.pw_shell)
    return _of_aws().get(name)


def group_id(name: str) -> int | None:
    """The number of the group of that name that a guest has."""
    with suppress(KeyError, ValueError):
        return grp.getgrnam(name).gr_gid
    user = _of_aws().get(name)
    return user.gid if user else None


@cache
def can_be_taken() -> bool:
    """Whether processes of the lab can become these users: it is root, and of more than itself.

    In a user namespace with one id, such as that of some containers, root is nobody else.
    Page: user_namespaces(7), user and group ID mappings.
    """
    try:
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except OSError:  # not Linux
        return os.getuid() == 0
    known = [
        range(first, first + count) for first, _, count in (map(int, one.split()) for one in lines)
    ]
    return os.getuid() == 0 and all(any(user.uid in ids for ids in known) for user in made())


def made() -> list[User]:
    """The users that guests have and this machine has not."""
    return list(_of_aws().values())


def passwd() -> str:
    """A guest's `/etc/passwd`: the machine's, and AWS's users."""
    lines = [f"{one.name}:*:{one.uid}:{one.gid}::{one.home}:{one.shell}" for one in made()]
    return _with(Path("/etc/passwd"), lines)


def group() -> str:
    """A guest's `/etc/group`: the machine's, and a group for each of AWS's users."""
    names = {one.gr_name for one in grp.getgrall()}
    lines = [f"{one.name}:*:{one.gid}:" for one in made() if one.name not in names]
    return _with(Path("/etc/group"), lines)


def _with(path: Path, lines: list[str]) -> str:
    own = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return "\n".join([*own, *lines]) + "\n"


@cache
def _of_aws() -> dict[str, User]:
    """AWS's users that are not this machine's."""
    here = {one.pw_name for one in pwd.getpwall()}
    taken = {one.pw_uid for one in pwd.getpwall()} | {one.gr_gid for one in grp.getgrall()}
    found: dict[str, User] = {}
    for index, (name, row) in enumerate(tomllib.loads(_TABLE.read_text()).items()):
        if name in here:
            continue
        number = row["uid"] if row["uid"] not in taken else _FREE + index
        taken.add(number)
        found[name] = User(name, number, number, row["home"], row.get("shell", "/bin/bash"))
    return found
