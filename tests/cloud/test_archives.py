"""Archives that are none, or not whole, or want out: refused as archives, whatever Python reads them."""

from __future__ import annotations

import io
import lzma
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from labkit.cloud.shared.archives import ArchiveError, restore, unpack
from tests.hostile import chain_of_links


def a_tar(**members: str | dict[str, object]) -> bytes:
    """A tar of files with a text, or of members with the attributes given."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, given in members.items():
            info = tarfile.TarInfo(name)
            text = given.encode() if isinstance(given, str) else b""
            info.size = len(text)
            for key, value in given.items() if isinstance(given, dict) else ():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(text))
    return body.getvalue()


def a_link(target: str, kind: bytes = tarfile.SYMTYPE) -> dict[str, object]:
    return {"type": kind, "linkname": target}


def a_zip(name: str, content: str, mode: int = 0o644) -> bytes:
    body, info = io.BytesIO(), zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(info, content)
    return body.getvalue()


def encrypted(body: bytes) -> bytes:
    """A zip whose only member says that it is encrypted."""
    changed = bytearray(body)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        changed[changed.index(signature) + offset] |= 1
    return bytes(changed)


REFUSED = {
    "no archive": ("tar", b"no archive at all"),
    "no zip": ("zip", b"no archive at all"),
    "cut off": ("tar", a_tar(file="text" * 999)[:900]),
    "xz of nothing": ("tar", lzma.compress(b"x" * 2000)[:-20]),
    "encrypted": ("zip", encrypted(a_zip("file", "text"))),
    "a name that goes up": ("tar", a_tar(**{"../file": "x"})),
    "a zip's name that goes up": ("zip", a_zip("a/../../file", "x")),
    "an absolute name in a zip": ("zip", a_zip("/file", "x")),
    "a link that leads out": ("tar", a_tar(link=a_link("../.."))),
    "an absolute link": ("tar", a_tar(link=a_link("/etc"))),
    "a zip's link that leads out": ("zip", a_zip("link", "../..", stat.S_IFLNK | 0o777)),
    "a file below a link": ("tar", a_tar(link=a_link("."), **{"link/file": "x"})),
    "a chain of links": ("tar", chain_of_links("", "../..", "evil")),
    "a circle of links": ("tar", a_tar(a=a_link("b"), b=a_link("a"))),
    "a hard link to nothing": ("tar", a_tar(link=a_link("none", tarfile.LNKTYPE))),
    "a device": ("tar", a_tar(device={"type": tarfile.CHRTYPE})),
    "a pipe": ("tar", a_tar(pipe={"type": tarfile.FIFOTYPE})),
    "a time that no file has": ("tar", a_tar(file={"pax_headers": {"mtime": "1e300"}})),
    "no name": ("tar", a_tar(**{".": "x"})),
}


@pytest.mark.parametrize(("kind", "body"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_leaves_nothing_outside(tmp_path: Path, kind: str, body: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(body, kind, tmp_path / "a" / "b")
    outside = [path for path in tmp_path.rglob("*") if "b" not in path.relative_to(tmp_path).parts]
    assert outside == [tmp_path / "a"]


def test_modes_times_and_links_are_kept(tmp_path: Path) -> None:
    body = a_tar(
        **{"bin/tool": {"mode": 0o4755, "mtime": 1_000_000_000}},
        data="text",
        soft=a_link("bin/tool"),
        hard=a_link("data", tarfile.LNKTYPE),
    )
    unpack(body, "tar", tmp_path)
    found = (tmp_path / "bin" / "tool").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o755, 1_000_000_000)
    assert (tmp_path / "soft").readlink() == Path("bin/tool")
    assert (tmp_path / "hard").read_text() == "text"


def test_what_is_restored_is_never_written_through_a_link(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    (place / "way-out").symlink_to(elsewhere)
    (place / "file").write_text("old")
    (place / "linked").symlink_to(elsewhere / "file")
    skipped: list[str] = []
    body = a_tar(
        **{"src/way-out/file": "x", "src/../file": "x", "other/file": "x", "src": "x"},
        **{"src/file": "new", "src/linked": "new", "src/deep/link": a_link("/usr/bin/env")},
        **{"src/pipe": {"type": tarfile.FIFOTYPE}},
    )
    count = restore(io.BytesIO(body), {"src": place}, lambda name, why: skipped.append(name))
    assert count == 3
    assert skipped == ["src/way-out/file", "src/../file", "other/file", "src", "src/pipe"]
    assert not list(elsewhere.iterdir())
    assert [(place / name).read_text() for name in ("file", "linked")] == ["new", "new"]
    assert (place / "deep" / "link").readlink() == Path("/usr/bin/env")
