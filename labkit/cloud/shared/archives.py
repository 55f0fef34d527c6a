"""Zips and tars as artifacts, bundles and caches travel: packed with their modes, unpacked with care.

An archive comes from a build, so from anybody. The rules, the same for all of them (image layers,
whose names and links begin at the image's root, add their own in `compute.containers.layers`):

- a name with `..` in it is refused; a device or a pipe too;
- a file is written below a directory that really lies below the destination, and never through a
  link: links are made last, of the archive's own none is there before;
- modes are kept but for setuid and its like; owners are not.

tarfile's own filters are not used: they let long chains of links out (CVE-2025-4517), and the
method `extract` of Python 3.11.0 to 3.11.3 has none.
"""

from __future__ import annotations

import errno
import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 4 << 30
_BLOCK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
# what zipfile, tarfile and the decompressors raise for archives that are none, or not whole
_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    ValueError,
    OverflowError,
    RuntimeError,
)


class ArchiveError(Exception):
    """An archive that cannot be unpacked, or must not be."""


def pack(
    files: Iterable[tuple[str, str | Path]], output: IO[bytes], *, links: bool = False
) -> None:
    """Write a zip of files, executable bits kept.

    Args:
        files: the names in the zip, and where each file lies.
        output: written to from its start to its end; where it cannot seek, zipfile need not go back
            to what each file's size is written to, which costs more than the compression.
        links: whether a symbolic link is kept as one, instead of the file it leads to.

    Raises:
        OSError: a file that is not there, or cannot be read.
    """
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in files:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            if links and Path(path).is_symlink():
                info.external_attr = Path(path).lstat().st_mode << 16
                archive.writestr(info, os.fsencode(Path(path).readlink()))
            else:
                _add(archive, info, path)


def _add(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str | Path) -> None:
    source, status = _opened(path)
    info.external_attr, info.file_size = status.st_mode << 16, status.st_size
    at_once = min(status.st_size + 1, _BLOCK)
    with source, archive.open(info, "w") as target:
        while block := source.read(at_once):
            target.write(block)
            if len(block) < at_once:
                break


def opened(path: str | Path) -> IO[bytes]:
    """A file to read, though somebody may put a link or a pipe in its place meanwhile.

    Raises:
        OSError: it is not a regular file.
    """
    return _opened(path)[0]


def _opened(path: str | Path) -> tuple[IO[bytes], os.stat_result]:
    file = open(path, "rb", buffering=0, opener=_without_links)  # noqa: SIM115
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file, status


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def unpack(
    body: bytes | Path | IO[bytes],
    kind: str,
    destination: Path,
    *,
    has_room: Callable[[int], None] = lambda size: None,
) -> None:
    """Unpack a zip, tar or tgz below `destination`, which is made.

    Args:
        body: the archive, or the file that it is, by its path or open.
        kind: `zip`, `tar` or `tgz`; anything else is taken for a tar.
        has_room: told the size of all members before the first is written; may raise OSError.

    Raises:
        ArchiveError: not an archive of that kind, too large, or a member that leads outside.
        OSError: the file system refused.
    """
    tree, fill = _Tree(destination), _fill_from_zip if kind == "zip" else _fill_from_tar
    with _opened_archive(body) as file, readable(kind):
        fill(file, tree, has_room)
        tree.make_links()


def _opened_archive(body: bytes | Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    if isinstance(body, Path):
        return body.open("rb")
    return io.BytesIO(body) if isinstance(body, bytes) else nullcontext(body)


def restore(
    file: IO[bytes], places: Mapping[str, Path], skipped: Callable[[str, str], None]
) -> int:
    """Put a tar's members back below directories that may hold files already.

    What would land outside of them is left out. A link may lead anywhere, as it did when it was
    kept: nothing is written through it.

    Args:
        places: the directories, by the first part of the members' names.
        skipped: told the name of each member that is left out, and why.

    Returns:
        How many files and links there are now.

    Raises:
        ArchiveError: not a tar, or too large.
        OSError: the file system refused.
    """
    trees, count = {name: _Tree(place) for name, place in places.items()}, 0
    with readable("tar"), tarfile.open(fileobj=file) as archive:
        for member in members(archive):
            place, _, name = member.name.partition("/")
            try:
                if place not in trees or not name:
                    raise ArchiveError("it belongs nowhere")
                trees[place].add(archive, member, name)
                count += member.isreg() or member.islnk()
            except (ArchiveError, KeyError) as error:
                skipped(member.name, str(error))
    return count + sum(tree.make_links_anyhow(skipped) for tree in trees.values())


@contextmanager
def readable(kind: str) -> Iterator[None]:
    """Whatever is wrong with an archive that is read herein is an ArchiveError."""
    try:
        yield
    except _UNREADABLE as error:
        raise ArchiveError(f"not a readable {kind} archive: {error}") from error


def members(
    archive: tarfile.TarFile, has_room: Callable[[int], None] = lambda size: None
) -> list[tarfile.TarInfo]:
    """A tar's members.

    Raises:
        ArchiveError: they are too large.
    """
    found = archive.getmembers()
    _check_size(sum(member.size for member in found))
    has_room(sum(member.size for member in found))
    return found


def parts(name: str) -> list[str]:
    """The parts of a member's name, which begins at the directory that it is unpacked to.

    Raises:
        ArchiveError: it leads outside.
    """
    if ".." in name.replace("\\", "/").split("/") or "\0" in name:
        raise ArchiveError(f"the member {name!r} leads outside the archive")
    return [part for part in name.split("/") if part not in ("", ".")]


def write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a tar's file, or what a hard link leads to, an earlier member; `path` is in nobody's way.

    Raises:
        ArchiveError: it is a device or a pipe, or the hard link leads to no file.
        OSError: the file system refused.
    """
    if not (member.isreg() or member.islnk()):
        raise ArchiveError(f"the member {member.name!r} is a device or a pipe")
    source = archive.extractfile(member)
    if source is None:
        raise ArchiveError(f"the link {member.name!r} leads to {member.linkname!r}: not a file")
    with source, path.open("xb") as target:
        shutil.copyfileobj(source, target, _BLOCK)
    path.chmod(member.mode & 0o777)
    os.utime(path, (member.mtime, member.mtime))


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ArchiveError(f"it would unpack to more than {MAX_BYTES >> 30} GB")


def _fill_from_zip(file: IO[bytes], tree: _Tree, has_room: Callable[[int], None]) -> None:
    with zipfile.ZipFile(file) as archive:
        found = archive.infolist()
        _check_size(sum(member.file_size for member in found))
        has_room(sum(member.file_size for member in found))
        for member in found:
            if PurePosixPath(member.filename).is_absolute():
                raise ArchiveError(f"the member {member.filename!r} leads outside the archive")
            parts(member.filename)
        for member in found:
            mode = member.external_attr >> 16
            if member.is_dir():
                tree.directory(member.filename)
            elif stat.S_ISLNK(mode):
                tree.link(member.filename, archive.read(member).decode())
            else:
                path = tree.free_path(member.filename)
                with archive.open(member) as source, path.open("xb") as target:
                    shutil.copyfileobj(source, target, _BLOCK)
                if mode & 0o777:
                    path.chmod(mode & 0o777)


def _fill_from_tar(file: IO[bytes], tree: _Tree, has_room: Callable[[int], None]) -> None:
    with tarfile.open(fileobj=file) as archive:
        for member in members(archive, has_room):
            if member.islnk():
                parts(member.linkname)
            tree.add(archive, member, member.name)


class _Tree:
    """A directory that members are written below: never through a link, whatever is there."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._known: set[Path] = {self.root}  # directories that really lie in it
        self._links: list[tuple[Path, str]] = []

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        """Write a tar's member, or note it if it is a link."""
        if member.isdir():
            self.directory(name)
        elif member.issym():
            self.link(name, member.linkname)
        else:
            write(archive, member, self.free_path(name))

    def directory(self, name: str) -> None:
        self._make(self.root.joinpath(*parts(name)))

    def link(self, name: str, target: str) -> None:
        """Note a link, which is made when everything else is there."""
        self._links.append((self._path(name), target))

    def free_path(self, name: str) -> Path:
        """Where a file goes; what was there is gone, unless it is a directory."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        return path

    def _path(self, name: str) -> Path:
        found = parts(name)
        if not found:
            raise ArchiveError(f"the member {name!r} has no name")
        path = self.root.joinpath(*found)
        self._make(path.parent)
        return path

    def _make(self, directory: Path) -> None:
        if directory in self._known:
            return
        here = directory
        while not os.path.lexists(here):
            here = here.parent
        if not _leads_below(self.root, here):
            raise ArchiveError(f"it leads outside, by the link {here.name!r}")
        directory.mkdir(parents=True, exist_ok=True)
        self._known.add(directory)

    def make_links(self) -> None:
        """Make all links; if one leads outside, through others perhaps, none of them stays."""
        made: list[Path] = []
        try:
            for path, target in self._links:
                if Path(target).is_absolute() or path.exists():
                    raise ArchiveError(f"the link {path.name!r} leads outside, or is there twice")
                path.symlink_to(target)
                made.append(path)
            for path in made:
                if not _leads_below(self.root, path):
                    raise ArchiveError(f"the link {path.name!r} leads outside the archive")
        except (ArchiveError, OSError, ValueError) as error:
            for path in made:
                path.unlink()
            raise ArchiveError(str(error)) from error

    def make_links_anyhow(self, skipped: Callable[[str, str], None]) -> int:
        """Make each link that can be made, wherever it leads; returns how many."""
        count = 0
        for path, target in self._links:
            try:
                path.unlink(missing_ok=True)
                path.symlink_to(target)
                count += 1
            except (OSError, ValueError) as error:
                skipped(str(path.relative_to(self.root)), f"it is no link any more: {error}")
        return count


def _leads_below(root: Path, path: Path) -> bool:
    """Whether a path leads to a place below `root`, which may not be there yet."""
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except FileNotFoundError:
        return path.resolve().is_relative_to(root)
    except (RuntimeError, OSError):  # a circle of links, or too many to follow
        return False
