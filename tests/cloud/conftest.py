"""A cluster and a load balancer of its own for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.balancers import Balancer
from tests.cloud.clusters import Cluster
from tests.conftest import Aws


@pytest.fixture
def cluster(lab_environment: Aws, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(lab_environment, tmp_path)
    yield made
    made.close()


@pytest.fixture
def balancer(aws: Aws) -> Iterator[Balancer]:
    one = Balancer(aws)
    yield one
    one.elb.delete_load_balancer(LoadBalancerArn=one.arn)
    for site in one.sites:
        site.close()
