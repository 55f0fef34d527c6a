"""The course: lessons, exercises and the sample app, and the learner's own copy of them.

In a clone they lie at the top of the repository, installed from the wheel in the package. Nobody
should work in either, so `labkit lab` lays a copy into a folder of the learner's: the lessons in
the learner's edition, and as they came in `reference`. What it laid it remembers by hash: after an
upgrade it renews what nobody has edited, and leaves the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

PARTS = ("notebooks", "exercises", "sample_app")
MADE_BY_USE = ("node_modules", "dist", "reports", ".git", ".ipynb_checkpoints", "__pycache__")
LESSONS, REFERENCE = "notebooks", "reference"
WELCOME = "00_welcome.ipynb"
FOLDER = "labkit-course"  # where the copy goes, if nobody says
NAMED = "LABKIT_COURSE"  # the folder that this environment's lessons lie in

_IN_WHEEL = Path(__file__).with_name("course")
_RECORD, _LOCK = ".labkit-course.json", ".labkit-course.lock"
_NEW = "new-in-"

in_clone = not _IN_WHEEL.is_dir()
source = Path(__file__).resolve().parents[1] if in_clone else _IN_WHEEL


class CourseError(Exception):
    """The course cannot be laid there; the message says why and what to do."""


@dataclass
class Laid:
    """What `lay` did in a folder, by names below it.

    Attributes:
        first: whether the course was not there before.
        new: laid for the first time.
        renewed: replaced; nobody had edited it.
        beside: where the new one lies of a file that the learner has edited.
        removed: no longer in the course, and nobody had edited it.
        kept: no longer in the course, but edited; it stays.
    """

    directory: Path
    first: bool
    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.first:
            return f"{self.directory} (put there now; it is yours to edit)"
        news = {
            "new": self.new,
            "renewed": self.renewed,
            "yours is edited and stays; the new one": self.beside,
            "no longer in the course, removed": self.removed,
            "no longer in the course, but edited by you": self.kept,
        }
        lines = [f"  {what}: {name}" for what, names in news.items() for name in names]
        return "\n".join([str(self.directory), *lines])


def files() -> dict[str, Path]:
    """Every file of the course, by its name below a course's folder."""
    found = (path for part in PARTS for path in sorted((source / part).rglob("*")))
    names = {path.relative_to(source): path for path in found if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in names.items()
        if not set(name.parts) & set(MADE_BY_USE)
    }


@dataclass(frozen=True)
class _Page:
    """A file as it is laid: what is in it, and whether it may be run."""

    content: bytes
    runs: bool = False

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def _pages() -> dict[str, _Page]:
    """Every file that a learner gets: the lessons in both editions, and the rest as it is."""
    from labkit.teach import edition  # takes seconds, which no other command should pay

    pages: dict[str, _Page] = {}
    for name, path in files().items():
        page = _Page(path.read_bytes(), os.access(path, os.X_OK))
        folder, _, lesson = name.partition("/")
        if folder == LESSONS and path.suffix == ".ipynb":
            pages[f"{REFERENCE}/{lesson}"] = page
            page = _Page(edition.learners(page.content.decode(), lesson).encode())
        pages[name] = page
    return pages


def is_laid(directory: Path) -> bool:
    """Whether a course is laid there."""
    return (directory / _RECORD).exists()


def newer(directory: Path) -> list[str]:
    """What lies beside lessons that the learner has worked in, newer than they are."""
    return sorted(
        path.relative_to(directory).as_posix()
        for path in directory.glob(f"{_NEW}*/{LESSONS}/*.ipynb")
    )


def sample_app() -> Path:
    """The sample app of this environment's course, or the one that came with labkit."""
    named = os.environ.get(NAMED)
    own = Path(named) / "sample_app" if named else source
    return own if named and own.is_dir() else source / "sample_app"


def folder(named: Path | None) -> Path | None:
    """The folder that the course is to be laid into; None to work where it came with labkit.

    Args:
        named: what the learner asked for. Otherwise it is `LABKIT_COURSE`, this directory if it is
            a course's, or `labkit-course` in the clone, without one in this directory.
    """
    if named is None and (own := os.environ.get(NAMED)):
        named = Path(own)
    if named is None:
        here = Path.cwd()
        named = here if is_laid(here) else (source if in_clone else here) / FOLDER
    named = named.expanduser().resolve()
    return None if named == source else named


def lay(directory: Path) -> Laid:
    """Lay the course into `directory`, or renew what lies there; returns what was done.

    A file that the learner has edited is never touched: its new version goes to the folder
    `new-in-VERSION`. One that they have deleted is not laid again.

    Raises:
        CourseError: it is a file, cannot be written, or has other things in it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        others = {path.name for path in directory.iterdir()} - {_LOCK, f"{_RECORD}.new"}
        if others and _RECORD not in others:
            raise CourseError(
                f"{directory} has other things in it. Name a new folder: labkit lab --course DIR"
            )
        with _locked(directory):
            return _lay(directory)
    except OSError as error:
        raise CourseError(
            f"The course cannot be put into {directory}: {error.strerror}. "
            "Name another folder: labkit lab --course DIR"
        ) from error


def _lay(directory: Path) -> Laid:
    laid = Laid(directory, first=not is_laid(directory))
    known = _remembered(directory)
    _remember(directory, known)  # first of all: it marks the folder as a course's
    pages = _pages()
    for name, page in pages.items():
        if known.get(name) != page.hash:
            _renew(laid, name, page, known.get(name))
            known[name] = page.hash
    for name in sorted(known.keys() - pages.keys()):
        _retire(laid, name, known.pop(name))
    _remember(directory, known)
    return laid


def _renew(laid: Laid, name: str, page: _Page, laid_before: str | None) -> None:
    """Lay one file that is not the one laid before (None: it never was)."""
    target = laid.directory / name
    found = _found(target)
    if found is None:
        if laid_before is None:
            _write(page, target)
            laid.new.append(name)
    elif found == laid_before:
        _write(page, target)
        laid.renewed.append(name)
    elif found != page.hash:
        beside = _beside(laid.directory, name, page.hash)
        _write(page, laid.directory / beside)
        laid.beside.append(beside)


def _retire(laid: Laid, name: str, laid_before: str) -> None:
    """Take away a file that the course no longer has, unless the learner has edited it."""
    target = laid.directory / name
    found = _found(target)
    if found == laid_before:
        target.unlink()
        laid.removed.append(name)
    elif found is not None:
        laid.kept.append(name)


def _beside(directory: Path, name: str, wanted: str) -> str:
    """Where the new version of an edited file goes: a place that is free, or has it already."""
    first = f"{_NEW}{version('labkit')}"
    folders = itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
    places = (f"{folder}/{name}" for folder in folders)
    return next(place for place in places if _found(directory / place) in (None, wanted))


def _found(path: Path) -> str | None:
    """The hash of what lies at `path`; None if nothing does."""
    if path.is_file():
        return _Page(path.read_bytes()).hash
    return "not a file" if os.path.lexists(path) else None


def _write(page: _Page, target: Path) -> None:
    """Whole or not at all; for the learner to write, whatever the installed file allows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.new")
    half.write_bytes(page.content)
    if page.runs:
        mode = half.stat().st_mode
        half.chmod(mode | (mode & 0o444) >> 2)
    half.replace(target)


def _remembered(directory: Path) -> dict[str, str]:
    """The hash of each file as it was laid; nothing, if that is not to be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        record: Any = json.loads((directory / _RECORD).read_text())
        return dict(record["files"])
    return {}


def _remember(directory: Path, known: dict[str, str]) -> None:
    record = {"labkit": version("labkit"), "files": dict(sorted(known.items()))}
    half = directory / f"{_RECORD}.new"
    half.write_text(json.dumps(record, indent=1))
    half.replace(directory / _RECORD)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Two `labkit lab` at once lay one course."""
    with (directory / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
