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
    """Have botocore and moto read each model once; called before anything has been read."""
    of_botocore: tuple[Any, ...] = (botocore.loaders, botocore.session)
    of_moto: tuple[Any, ...] = (loaders, core_utils)
    for module in of_botocore:
        module.create_loader = loader
    for module in of_moto:
        module.create_loader = _loader


@cache
def _loader() -> loaders.Loader:
    return _Loader(extra_search_paths=[loaders.moto_root])


@cache
def _loader_of_clients() -> loaders.Loader:
    made = _ClientsLoader(extra_search_paths=[loaders.moto_root])
    made._cache = _loader()._cache
    return made


def loader(_: object = None) -> loaders.Loader:
    """The loader of this process's clients; the lab's AWS has no models of a learner's own."""
    return _loader_of_clients()


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


class _ClientsLoader(_Loader):
    """An S3 client takes the bucket out of the paths in its model, by which moto tells operations.

    So clients have paths of their own.
    """

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Any:
        model = super().load_service_model(service_name, type_name, api_version)
        changed = service_name.startswith("s3") and type_name == "service-2"
        return _with_paths_of_its_own(service_name) if changed else model


@cache
def _with_paths_of_its_own(service_name: str) -> Any:
    model = _loader().load_service_model(service_name, "service-2")
    operations = {
        name: {**one, "http": dict(one["http"])} for name, one in model["operations"].items()
    }
    return {**model, "operations": operations}


def _without_prose(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, its short texts kept once; a member that is called so is no text."""
    return {
        name: value if type(value) is not str else "" if name == "documentation" else intern(value)
        for name, value in pairs
    }
