"""The pipeline's pieces, one module each, in the order they are built.

`source`, `roles`, `artifacts`, `build`, `deploy`, `pipeline`: each creates what it is named after
with plain boto3, may be called twice, and can delete it again. Here they stand in a table, which is
walked forwards to provision and backwards to tear down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.lab import Lab
from labkit.provision import artifacts, build, deploy, pipeline, roles, source
from labkit.provision.inventory import left_over

__all__ = [
    "PIECES",
    "Piece",
    "artifacts",
    "build",
    "deploy",
    "left_over",
    "pipeline",
    "provision",
    "roles",
    "source",
    "tear_down",
]


@dataclass(frozen=True)
class Piece:
    """One piece of the pipeline: what it is for, the steps that make it, the step that unmakes it."""

    name: str
    what: str
    steps: tuple[Callable[[Lab], Any], ...]
    delete: Callable[[Lab], None]


PIECES = [
    Piece(
        "source",
        "a repository with the sample app in it",
        (source.create_repository, source.first_commit),
        source.delete_repository,
    ),
    Piece("roles", "who may do what", (roles.create_roles,), roles.delete_roles),
    Piece(
        "artifacts",
        "a bucket between the stages",
        (artifacts.create_bucket,),
        artifacts.delete_bucket,
    ),
    Piece(
        "build",
        "a project that builds and tests",
        (build.create_log_group, build.create_project),
        build.delete_project,
    ),
    Piece(
        "deploy",
        "two hosts, and how a release gets onto them",
        (deploy.create_instances, deploy.create_application, deploy.create_deployment_group),
        deploy.delete_deployments,
    ),
    Piece(
        "pipeline",
        "the walk from push to release, and what starts it",
        (pipeline.create_pipeline, pipeline.create_trigger),
        pipeline.delete_pipeline,
    ),
]

Progress = Callable[[str, str], object]


def provision(
    lab: Lab, until: str = "pipeline", on_progress: Progress | None = None
) -> dict[str, Any]:
    """Build the pieces in order, up to and with `until`; what is there already stays.

    Args:
        until: the name of a piece in `PIECES`.
        on_progress: called with a piece's name and what it is for, before it is made.

    Returns:
        What each step returned, by the step's name: `create_repository`, `create_roles`, ...

    Raises:
        ValueError: there is no such piece.
    """
    made: dict[str, Any] = {}
    for piece in PIECES[: _position(until) + 1]:
        if on_progress is not None:
            on_progress(piece.name, piece.what)
        for step in piece.steps:
            made[step.__name__] = step(lab)
    return made


def tear_down(lab: Lab, on_progress: Progress | None = None) -> None:
    """Delete every piece, the last first; what is not there is fine.

    The clone stays on this machine. `left_over` asks AWS what is still there.
    """
    for piece in reversed(PIECES):
        if on_progress is not None:
            on_progress(piece.name, piece.what)
        piece.delete(lab)


def _position(name: str) -> int:
    names = [piece.name for piece in PIECES]
    if name not in names:
        raise ValueError(f"no piece {name!r}; there are {', '.join(names)}")
    return names.index(name)
