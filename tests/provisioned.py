"""A lab with its whole pipeline, for the tests that break something of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labkit import observe
from labkit.lab import Lab
from labkit.provision import provision, tear_down
from tests.conftest import Aws


@contextmanager
def provisioned(aws: Aws, name: str) -> Iterator[Lab]:
    """Provision a lab of that name, once its first release is over; torn down afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab(name)
        provision(lab)
        observe.wait_for_execution(lab, until=lambda now: now.over)
        yield lab
        tear_down(lab)
        shutil.rmtree(lab.workspace / lab.repository, ignore_errors=True)
