"""AWS's curated images: what can be chosen of each, whatever the lab runs in its place.

AWS pages: "Available runtimes"; "Runtime versions". `images.toml` is the data.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from labkit.cloud.codebuild.shapes import BuildspecError

_RELEASE = re.compile(r"-\d\d\.\d\d\.\d\d$")  # `aws/codebuild/standard:7.0-24.03.13`


@dataclass(frozen=True)
class Image:
    """A curated image.

    Attributes:
        sh: what its /bin/sh is.
        runtimes: the versions that it has, by runtime.
        custom: how other versions may be written, by runtime.
    """

    sh: str
    runtimes: dict[str, list[str]]
    custom: dict[str, str]

    def check(self, name: str, version: str) -> None:
        """Refuse a line of `runtime-versions`, as published logs of CodeBuild do.

        Raises:
            BuildspecError: the image has not got the runtime, or not in that version.
        """
        if name not in self.runtimes:
            raise BuildspecError(
                f"Unknown runtime named '{name}'. "
                f"This build image has the following runtimes: {', '.join(self.runtimes)}"
            )
        known = self.runtimes[name]
        # `12.x`: the latest minor version of a major one
        among = [one for one in known if f"{one}.".startswith(f"{version.removesuffix('.x')}.")]
        if version in ("latest", *known) or (version.endswith(".x") and among):
            return
        if name not in self.custom or not re.fullmatch(self.custom[name], version):
            raise unknown_version(name, version, known)


def unknown_version(name: str, version: str, known: list[str]) -> BuildspecError:
    """What CodeBuild says of a version that an image has not got."""
    return BuildspecError(
        f"Unknown runtime version named '{version}' of {name}. "
        f"This build image has the following versions: {', '.join(known)}"
    )


def find(name: str) -> Image | None:
    """The curated image of that name, which has runtimes to choose from; None of any other."""
    return _images().get(_RELEASE.sub("", name))


@cache
def _images() -> dict[str, Image]:
    path = Path(__file__).with_name("images.toml")
    data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Image(one["sh"], one["runtimes"], data["custom"] if one["custom"] else {})
        for one in data["image"]
        for name in one["names"]
    }
