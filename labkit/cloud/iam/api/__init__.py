"""IAM's own operations around the decision that moto does not answer, or not as AWS does."""

from __future__ import annotations

from labkit.cloud.iam.api import (
    boundaries,
    conflicts,
    credentials,
    last_accessed,
    roles,
    simulation,
)


def start() -> None:
    """Put them in their places: called once, when IAM is first asked for."""
    simulation.start()
    boundaries.start()
    conflicts.start()
    credentials.start()
    roles.start()
    last_accessed.start()
