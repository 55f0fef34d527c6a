"""What a deployment to hosts costs: `make bench`.

One host in place, ten files and hooks that do nothing; and twenty hosts, one after the other.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.cloud.front import launcher
from tests.codedeploy.conftest import Fleet, bundle, make_fleet
from tests.conftest import Aws

HOOKS = (
    "ApplicationStop",
    "BeforeInstall",
    "AfterInstall",
    "ApplicationStart",
    "ValidateService",
)
FILES = 10
HOSTS = 20
DEPLOYMENTS = 9
MOST_SECONDS = 0.6
ONE_AT_A_TIME = "CodeDeployDefault.OneAtATime"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    state_dir = tmp_path_factory.mktemp("bench") / "state"
    description, _ = launcher.up(state_dir)
    yield from make_fleet(Aws(description))
    launcher.down(state_dir)


@pytest.fixture(scope="module")
def revision(fleet: Fleet) -> dict[str, Any]:
    """Ten files for /srv/site, and a hook for every event of a host."""
    hooks = "".join(f"  {event}: [{{location: hook.sh}}]\n" for event in HOOKS)
    spec = f"version: 0.0\nos: linux\nfiles: [{{source: site, destination: /srv/site}}]\nhooks:\n{hooks}"
    site = {f"site/{number}.txt": "x" * 1000 for number in range(FILES)}
    body = bundle({"appspec.yml": spec, "hook.sh": "true", **site})
    return fleet.revision(fleet.upload(body))


def seconds(fleet: Fleet, group: str, revision: dict[str, Any]) -> float:
    info = fleet.deploy(group, None, revision=revision)
    assert info["status"] == "Succeeded", info
    return (info["completeTime"] - info["createTime"]).total_seconds()


def test_one_host(fleet: Fleet, revision: dict[str, Any]) -> None:
    group = fleet.group(fleet.hosts[0])
    seconds(fleet, group, revision)
    took = statistics.median(seconds(fleet, group, revision) for _ in range(DEPLOYMENTS))
    print(f"\none host in place: {took:.3f} s (limit {MOST_SECONDS})")
    assert took <= MOST_SECONDS


def test_twenty_hosts_one_at_a_time(fleet: Fleet, revision: dict[str, Any]) -> None:
    hosts = [fleet.launch() for _ in range(HOSTS)]
    group = fleet.group(fleet.hosts[1], deploymentConfigName=ONE_AT_A_TIME)
    fleet.aws.client("ec2").create_tags(Resources=hosts, Tags=[{"Key": "bench", "Value": "all"}])
    tag = {"Key": "bench", "Value": "all", "Type": "KEY_AND_VALUE"}
    many = fleet.group(ec2TagFilters=[tag], deploymentConfigName=ONE_AT_A_TIME)
    for warm in (group, many):
        seconds(fleet, warm, revision)
    one = statistics.median(seconds(fleet, group, revision) for _ in range(DEPLOYMENTS))
    all_of_them = statistics.median(seconds(fleet, many, revision) for _ in range(3))
    print(f"\n{HOSTS} hosts one at a time: {all_of_them:.2f} s, {all_of_them / one:.1f} times one")
    assert all_of_them <= HOSTS * one
