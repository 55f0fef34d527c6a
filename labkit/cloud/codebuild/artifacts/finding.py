"""Which of the files that a build left are an artifact's.

Links are read as the build's commands see them, and nothing outside the build's own directories is
ever in an artifact: on AWS the whole container is the build's; here the rest of the disk is the
learner's.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.cloud.codebuild.artifacts.globs import pattern
from labkit.cloud.codebuild.buildspec import ArtifactSpec
from labkit.cloud.codebuild.preparation import Prepared
from labkit.cloud.guests.guest import Guest

_MOST_LINKS = 40  # of one path, as Linux follows them
_MOST_FILES = 1_000_000
_SIGNS = re.compile(r"[*?]")
_NOTHING = "no matching artifact paths found"

Say = Callable[[str], None]


class ArtifactError(Exception):
    """Artifacts that could not be made or stored; the message is the phase context's."""


@dataclass(frozen=True)
class File:
    """One file below a base directory.

    Args:
        path: where it lies, all links followed; None, it cannot be part of an artifact.
        flaw: why not, or that there is nothing at `path`.
    """

    name: str
    path: str | None
    flaw: str = ""


def find(prepared: Prepared, spec: ArtifactSpec, say: Say, *, links: bool) -> dict[str, str]:
    """The files of an artifact: their names in it, and where each is.

    Args:
        say: writes an agent's line to the log.
        links: whether symbolic links are kept as such, instead of what they lead to.

    Raises:
        ArtifactError: nothing matches, or the base directory is not the build's.
    """
    say(f"Expanding base directory path: {spec.base_directory}")
    bases = _base_directories(prepared, spec.base_directory)
    say("Assembling file list")
    say(f"Expanding {spec.base_directory}")
    found: dict[str, str] = {}
    for base, shown in bases:
        say(f"Expanding file paths for base directory {shown}")
        say("Assembling file list")
        for file in _chosen(base, prepared.guest, spec, say, links=links):
            if file.path is None:
                say(f"Skipping invalid file path {file.name}: {file.flaw}")
            elif file.flaw:
                raise ArtifactError(f"{file.name} {file.flaw}")
            else:
                # of two files of one name the later stays
                name = file.name.rpartition("/")[2] if spec.discard_paths else file.name
                found[name] = file.path
    if not found:
        raise ArtifactError(_NOTHING)
    for name in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ArtifactError(f"the name {name!r} is not UTF-8") from error
    say(f"Found {len(found)} file(s)")
    return found


def _chosen(
    base: Path, guest: Guest, spec: ArtifactSpec, say: Say, *, links: bool
) -> Iterator[File]:
    """The files of one base directory that the globs match, in the order of the globs."""
    present = {file.name: file for file in _Walk(base, guest, links=links)}
    names, seen = sorted(present), set[str]()
    excluded = [_rule(glob, base, guest) for glob in spec.exclude]
    for glob in spec.files:
        say(f"Expanding {glob}")
        rule = _rule(glob, base, guest)
        matching = [name for name in names if rule.fullmatch(name)]
        if not matching and not _SIGNS.search(glob):
            say(f"Skipping invalid file path {glob}")
        for name in matching:
            if name not in seen and not any(rule.fullmatch(name) for rule in excluded):
                yield present[name]
            seen.add(name)


def _rule(glob: str, base: Path, guest: Guest) -> re.Pattern[str]:
    """A glob, which may begin with the base directory's own name, as commands see it."""
    return pattern(glob.removeprefix(f"{guest.inside(base)}/"))


# directories


def _base_directories(prepared: Prepared, name: str) -> list[tuple[Path, str]]:
    """The directories that a base directory's name or glob stands for, and how the log names them.

    One that is named from the root on may be any of the build's: another source's, for one. AWS
    page: "Build specification reference for CodeBuild", artifacts/base-directory.

    Raises:
        ArtifactError: there is none, or it is not the build's.
    """
    guest, source = prepared.guest, prepared.source
    path = Path(os.path.normpath(source / guest.outside(name)))
    top = guest.directory if Path(name).is_absolute() else source
    lies = followed(path, guest) if path.is_relative_to(top) else None
    if lies is None:
        raise ArtifactError(
            f"base-directory {name} is outside the source directory, which the lab does not allow"
        )
    if lies.is_dir():
        return [(lies, name)]
    found = []
    if _SIGNS.search(name):
        rule = pattern(os.path.relpath(path, top))
        for directory in _directories(top, depth=len(path.relative_to(top).parts)):
            relative = os.path.relpath(directory, top)
            lies = followed(directory, guest) if rule.fullmatch(relative) else None
            if lies is not None and lies.is_dir():
                found.append((lies, relative))
    if not found:
        raise ArtifactError(f"no matching base directory path found for {name}")
    return found


def _directories(top: Path, depth: int) -> Iterator[Path]:
    """The directories, and links, so many levels below another at most, in order."""
    with os.scandir(top) as entries:
        below = sorted(entry.path for entry in entries if entry.is_symlink() or entry.is_dir())
    for path in map(Path, below):
        yield path
        if depth > 1 and not path.is_symlink():
            yield from _directories(path, depth - 1)


def followed(path: Path, guest: Guest) -> Path | None:
    """Where a path of a build leads to, links read as its commands see them; None, out of it.

    There may be nothing.
    """
    root = guest.directory
    at, rest = root, list(reversed(path.relative_to(root).parts))
    links = 0
    while rest:
        part = rest.pop()
        if part == "..":
            if at == root:
                return None
            at = at.parent
            continue
        here = at / part
        if not here.is_symlink():
            at = here
            continue
        links += 1
        target = here.readlink()
        if target.is_absolute():
            target, at = guest.outside(str(target)), root
            if target.is_relative_to(root.resolve()):
                target = target.relative_to(root.resolve())
            elif target.is_relative_to(root):
                target = target.relative_to(root)
            else:
                return None
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        rest.extend(reversed(target.parts))
    return at


class _Walk:
    """Every file below a directory; links to directories are followed unless `links` are kept."""

    def __init__(self, base: Path, guest: Guest, *, links: bool) -> None:
        self.base, self.guest, self.links = base, guest, links
        self.left = _MOST_FILES

    def __iter__(self) -> Iterator[File]:
        return self._below(str(self.base), "", (self.base,))

    def _below(self, directory: str, prefix: str, way: tuple[Path, ...]) -> Iterator[File]:
        """
        Args:
            way: the directories that were entered by a link, and the base directory.
        """
        with os.scandir(directory) as entries:
            for entry in entries:
                name = prefix + entry.name
                self.left -= 1
                if self.left < 0:
                    raise ArtifactError(f"more than {_MOST_FILES} files: do links lead in circles?")
                if entry.is_symlink():
                    yield from self._link(entry, name, way)
                elif entry.is_dir(follow_symlinks=False):
                    yield from self._below(entry.path, f"{name}/", way)
                elif entry.is_file(follow_symlinks=False):
                    yield File(name, entry.path)
                else:  # to read from a pipe would never end
                    yield File(name, None, "it is not a regular file")

    def _link(self, entry: os.DirEntry[str], name: str, way: tuple[Path, ...]) -> Iterator[File]:
        if self.links:
            yield File(name, entry.path)
            return
        try:
            lies = followed(Path(entry.path), self.guest)
        except OSError:
            yield File(name, entry.path, "is a link in a circle")
            return
        if lies is None:
            yield File(name, None, "it is a link out of the build's directories")
        elif not lies.exists():
            yield File(name, entry.path, "is a link to a file that is not there")
        elif lies.is_file():
            yield File(name, str(lies))
        elif not lies.is_dir():
            yield File(name, None, "it is not a regular file")
        elif not any(here.is_relative_to(lies) for here in (*way, Path(entry.path).parent)):
            # one that leads up would never end
            yield from self._below(str(lies), f"{name}/", (*way, Path(entry.path).parent, lies))
