"""AWS's models, as this process keeps them: once, and without their prose.

botocore makes a loader for each session and moto one for each model, each with a copy of its own of
what it reads; together that would be most of the server's memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from sys import intern
from typing import Any

import botocore.loaders
import botocore.session
from botocore.loaders import JSONFileLoader
from moto.core import loaders
from moto.core import utils as core_utils


def share() -> None:
    """Have one loader serve botocore and moto; called before anything has been read."""
    modules: tuple[Any, ...] = (botocore.loaders, botocore.session, loaders, core_utils)
    for module in modules:
        module.create_loader = loader


@cache
def _loader() -> loaders.Loader:
    return _Loader(extra_search_paths=[loaders.moto_root])


def loader(_: object = None) -> loaders.Loader:
    """The loader of this process; the lab's AWS has no models of a learner's own."""
    return _loader()


class _Models(JSONFileLoader):  # type: ignore[misc]
    def _load_file(self, full_path: str, open_method: Callable[..., Any]) -> Any:
        try:
            with open_method(full_path, "rb") as file:
                return json.load(file, object_pairs_hook=_without_prose)
        except FileNotFoundError:
            return None


class _Loader(loaders.Loader):
    FILE_LOADER_CLASS = _Models
    # what botocore adds to a model, and what moto does
    BUILTIN_EXTRAS_TYPES = ["sdk", "moto"]  # noqa: RUF012


def _without_prose(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, its short texts kept once; a member that is called so is no text."""
    return {
        name: value if type(value) is not str else "" if name == "documentation" else intern(value)
        for name, value in pairs
    }
