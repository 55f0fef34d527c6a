"""Zips and tars as artifacts and bundles travel: packed with their modes, unpacked with care.

An archive comes from a build, so from anybody: a member that would land outside the directory it is
unpacked to (`..`, an absolute path, a link that leads out) is refused before anything is written.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO

MAX_BYTES = 4 << 30
_BLOCK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


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
    body: bytes | Path,
    kind: str,
    destination: Path,
    *,
    has_room: Callable[[int], None] = lambda size: None,
) -> None:
    """Unpack a zip, tar or tgz below `destination`, which is made.

    Args:
        body: the archive, or the file that it is.
        kind: `zip`, `tar` or `tgz`; anything else is taken for a tar.
        has_room: told the size of all members before the first is written; may raise OSError.

    Raises:
        ArchiveError: not an archive of that kind, too large, or a member that leads outside.
        OSError: the file system refused.
    """
    destination.mkdir(parents=True, exist_ok=True)

    def check_size(size: int) -> None:
        if size > MAX_BYTES:
            raise ArchiveError(f"it would unpack to more than {MAX_BYTES >> 30} GB")
        has_room(size)

    with body.open("rb") if isinstance(body, Path) else io.BytesIO(body) as file:
        try:
            if kind == "zip":
                _unpack_zip(file, destination, check_size)
            else:
                _unpack_tar(file, destination, check_size)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, KeyError) as error:
            raise ArchiveError(f"not a readable {kind} archive: {error}") from error


def _unpack_zip(file: IO[bytes], destination: Path, check_size: Callable[[int], None]) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        check_size(sum(member.file_size for member in members))
        for member in members:
            _check(member.filename)
        links = []
        for member in members:
            mode = member.external_attr >> 16
            path = destination / member.filename
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISLNK(mode):
                links.append((path, archive.read(member).decode()))
                continue
            with archive.open(member) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
            if mode & 0o777:
                path.chmod(mode & 0o777)
        # links last, so that no file is written through one
        _make_links(destination, links)


def _unpack_tar(file: IO[bytes], destination: Path, check_size: Callable[[int], None]) -> None:
    """Files first, then links: tarfile's own filters let long chains of links out (CVE-2025-4517)."""
    links = []
    with tarfile.open(fileobj=file) as archive:
        members = archive.getmembers()
        check_size(sum(member.size for member in members))
        for member in members:
            name = member.name.lstrip("/")
            _check(name)
            path = destination / name
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                links.append((path, member.linkname))
                continue
            if not (member.isreg() or member.islnk()):
                raise ArchiveError(f"the member {member.name!r} is a device")
            if member.islnk():
                _check(member.linkname.lstrip("/"))
            # of a hard link, what it leads to: an earlier member
            source = archive.extractfile(member)
            if source is None:
                raise ArchiveError(f"the link {member.name!r} leads outside the archive")
            path.unlink(missing_ok=True)
            with source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK)
            path.chmod(member.mode & 0o777)
            os.utime(path, (member.mtime, member.mtime))
        _make_links(destination, links)


def _check(name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ArchiveError(f"the member {name!r} leads outside the archive")


def _make_links(destination: Path, links: list[tuple[Path, str]]) -> None:
    """Make all links; if one leads outside, through others perhaps, none of them stays."""
    made: list[Path] = []
    try:
        for path, target in links:
            if Path(target).is_absolute() or path.exists():
                raise ArchiveError(f"the link {path.name!r} leads outside, or is there twice")
            path.symlink_to(target)
            made.append(path)
    except (ArchiveError, OSError) as error:
        for path in made:
            path.unlink()
        raise ArchiveError(str(error)) from error
    _check_links(destination, made)


def _check_links(destination: Path, links: list[Path]) -> None:
    root = destination.resolve()
    try:
        for path in links:
            if not _resolved(path).is_relative_to(root):
                raise ArchiveError(f"the link {path.name!r} leads outside the archive")
    except (ArchiveError, RuntimeError, OSError) as error:  # RuntimeError: a circle of links
        for path in links:
            path.unlink(missing_ok=True)
        raise ArchiveError(str(error)) from error


def _resolved(path: Path) -> Path:
    """Where a path leads, which may not be there; one that is too long to follow raises OSError."""
    try:
        return path.resolve(strict=True)
    except FileNotFoundError:
        return path.resolve()
