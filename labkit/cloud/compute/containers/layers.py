"""Layers: what an image's tars hold, laid one over the other below a directory, and nowhere else.

A layer comes from anybody. Each name is taken to begin at the image's root, as a container runtime
takes it; every link is written anew so that it leads to a place below that root, however the machine
follows it. So nothing that is made through a link later is made outside either. All else is as
for other archives: see `labkit.cloud.shared.archives`.

Format: the OCI's "image-spec", layer.md (whiteouts, changesets).
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from labkit.cloud.shared.archives import ArchiveError, members, parts, readable, write

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def unpack(layer: Path, root: Path) -> None:
    """Lay one layer over those that are below `root`, which exists.

    Raises:
        ArchiveError: not a tar, a name with `..`, a device, a link that leads nowhere, or too much.
        OSError: the file system refused.
    """
    root = root.resolve(strict=True)
    with readable("tar"), tarfile.open(layer) as archive:
        found = members(archive)
        # a whiteout hides what lower layers have, not what this one brings
        for member in found:
            if PurePosixPath(member.name).name.startswith(_WHITEOUT):
                _hide(root, parts(member.name))
        for member in found:
            names = parts(member.name)
            if names and not names[-1].startswith(_WHITEOUT):
                _write(archive, member, root, names)


def inside(root: Path, name: str) -> Path:
    """Where a path of the image lies below `root`: `..` never leads above it.

    Raises:
        ArchiveError: through links it would be elsewhere.
    """
    path = root / posixpath.normpath(f"/{name}").lstrip("/")
    _checked(root.resolve(strict=True), path.resolve())
    return path


def _checked(root: Path, path: Path) -> Path:
    if not path.is_relative_to(root):
        raise ArchiveError(f"{path.name!r} leads out of the image")
    return path


def _directory(root: Path, names: list[str]) -> Path:
    """The real place of a directory of the image; it is made where it is not there."""
    here = root
    for part in names:
        try:
            # a link may lead to what a later layer makes
            here = _checked(root, (here / part).resolve())
            here.mkdir(parents=True, exist_ok=True)
            here = _checked(root, here.resolve(strict=True))
        except RuntimeError as error:  # so Python calls a circle of links
            raise ArchiveError(f"{'/'.join(names)!r} leads round in a circle") from error
    return here


def _hide(root: Path, names: list[str]) -> None:
    directory = root.joinpath(*names[:-1])
    if not directory.is_dir():
        return
    directory = _directory(root, names[:-1])
    if names[-1] == _OPAQUE:
        for path in list(directory.iterdir()):
            _remove(path)
    elif (name := names[-1].removeprefix(_WHITEOUT)) not in ("", ".", ".."):
        _remove(directory / name)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, names: list[str]) -> None:
    path = _directory(root, names[:-1]) / names[-1]
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            _remove(path)
            path.mkdir()
        path.chmod(member.mode & 0o777 | 0o700)  # its owner has to be able to remove it
        return
    source = root.joinpath(*parts(member.linkname)) if member.islnk() else None
    if source is not None:
        source = _directory(root, parts(member.linkname)[:-1]) / source.name
        if source == path:
            return
    _remove(path)
    if member.issym():
        path.symlink_to(_target(root, path, member.linkname))
    elif source is not None and source.is_symlink():
        # the text of a link is true at its own place alone
        path.symlink_to(_target(root, path, _absolute(root, source)))
    elif source is not None:
        if not source.is_file():
            raise ArchiveError(f"the link {member.name!r} leads to {member.linkname!r}: not a file")
        os.link(source, path)
    else:
        write(archive, member, path)
        path.chmod(member.mode & 0o777 | 0o600)


def _target(root: Path, link: Path, target: str) -> str:
    """A link's text, relative, so that it stays below `root`: an absolute one begins there."""
    directory = PurePosixPath("/", link.parent.relative_to(root))
    meant = posixpath.normpath(posixpath.join(directory, target))
    # of what normpath leaves alone: two slashes at the beginning
    return posixpath.relpath("/" + meant.lstrip("/"), directory)


def _absolute(root: Path, link: Path) -> str:
    """Where a link of the image leads to, from the image's root."""
    directory = PurePosixPath("/", link.parent.relative_to(root))
    return posixpath.normpath(posixpath.join(directory, link.readlink()))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
