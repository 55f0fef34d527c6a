"""Rolling deployments of a service: their limits, their circuit breaker, and the way back.

AWS pages: "DeploymentConfiguration" in the ECS API Reference; "How the Amazon ECS deployment circuit
breaker detects failures"; "Amazon ECS service deployment state change events".
"""

from __future__ import annotations

import json
import threading
from typing import Any

import psutil
import pytest

from tests.cloud.clusters import Cluster, port_of
from tests.queues import create_queue
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def broken(cluster: Cluster) -> str:
    return cluster.define(cluster.push("bad", {"a": "bad"}, "sh", "-c", "exit 1"))


def test_the_circuit_breaker_goes_back_to_what_worked(cluster: Cluster) -> None:
    good = cluster.site("1")
    cluster.serve(good, 2, deploymentConfiguration=BREAKER)
    cluster.wait_completed()
    before = set(cluster.tasks())
    bad = broken(cluster)
    cluster.update(taskDefinition=bad)
    assert cluster.primary["taskDefinition"] == bad
    eventually(lambda: cluster.primary["taskDefinition"] == good, 20)
    cluster.wait_completed()
    eventually(lambda: len(cluster.service["deployments"]) == 1)
    assert set(cluster.tasks()) == before
    assert cluster.service["taskDefinition"] == good
    assert "deployment failed: tasks failed to start." in cluster.said()
    assert "rolling back to" in cluster.said()
    # and another release can follow
    better = cluster.site("2")
    cluster.update(taskDefinition=better)
    cluster.wait_completed()
    eventually(lambda: len(cluster.service["deployments"]) == 1)
    assert cluster.service["taskDefinition"] == better


def test_without_rollback_a_deployment_fails_and_the_old_tasks_stay(cluster: Cluster) -> None:
    settings = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    cluster.serve(cluster.site("1"), 2, deploymentConfiguration=settings)
    cluster.wait_completed()
    before = set(cluster.tasks())
    cluster.update(taskDefinition=broken(cluster))
    eventually(lambda: cluster.primary["rolloutState"] == "FAILED", 20)
    assert "circuit breaker" in cluster.primary["rolloutStateReason"]
    # "The deployment circuit breaker has a minimum threshold of 3"
    failed = cluster.primary["failedTasks"]
    assert failed >= 3
    eventually(lambda: set(cluster.tasks()) == before)


def test_without_a_circuit_breaker_it_tries_on(cluster: Cluster) -> None:
    cluster.serve(broken(cluster), 1)
    eventually(lambda: cluster.primary["failedTasks"] >= 4, 20)
    assert cluster.primary["rolloutState"] == "IN_PROGRESS"


def test_tasks_that_die_later_do_not_count_for_the_next_deployment(cluster: Cluster) -> None:
    # "Deployment": failedTasks
    good = cluster.site("1")
    cluster.serve(good, 1, deploymentConfiguration=BREAKER)
    cluster.wait_completed()
    for _ in range(4):
        [task] = cluster.tasks()
        _server(port_of(cluster.task(task))).kill()
        eventually(lambda one=task: one not in cluster.tasks() and cluster.tasks() != [])  # type: ignore[misc]
        eventually(lambda: cluster.service["runningCount"] == 1)
    second = cluster.site("2")
    cluster.update(taskDefinition=second)
    cluster.wait_completed()
    assert cluster.primary["taskDefinition"] == second


def _server(port: int) -> psutil.Process:
    """The process that listens at a port, as soon as one does: a running task may only begin to."""
    [found] = eventually(lambda: [one for one in psutil.process_iter() if _listens(one, port)])
    return found


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(
            one.status == psutil.CONN_LISTEN and one.laddr.port == port
            for one in process.net_connections()
        )
    except psutil.Error:
        return False


def test_a_task_whose_container_is_unhealthy_is_replaced(cluster: Cluster) -> None:
    uri = cluster.push("sick", {"a": "sick"}, "sleep", "60")
    check = {"command": ["CMD-SHELL", "test ! -e ill"], "interval": 5, "retries": 1}
    cluster.serve(cluster.define(uri, healthCheck=check), 1)
    cluster.wait_completed()
    [first] = cluster.tasks()
    (cluster.files(first) / "ill").touch()
    eventually(lambda: cluster.task(first)["lastStatus"] == "STOPPED")
    assert cluster.task(first)["stoppedReason"] == "Task failed container health checks"
    eventually(lambda: cluster.service["runningCount"] == 1 and cluster.tasks() != [first])


@pytest.mark.parametrize(
    ("most", "least", "fewest_seen", "most_seen"),
    [(100, 50, 1, 2), (150, 100, 2, 3), (100, 0, 0, 2), (200, 100, 2, 4)],
)
def test_percentages_bound_how_many_run_at_once(
    cluster: Cluster, most: int, least: int, fewest_seen: int, most_seen: int
) -> None:
    # "maximumPercent" rounds down, "minimumHealthyPercent" up
    limits = {"maximumPercent": most, "minimumHealthyPercent": least}
    cluster.serve(cluster.site("1"), 2, deploymentConfiguration=limits)
    cluster.wait_completed()
    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.is_set():
            found = cluster.service
            seen.append((found["runningCount"], found["runningCount"] + found["pendingCount"]))

    watcher = threading.Thread(target=watch)
    second = cluster.site("2")
    watcher.start()
    cluster.update(taskDefinition=second)
    eventually(
        lambda: (
            len(cluster.service["deployments"]) == 1
            and cluster.primary["rolloutState"] == "COMPLETED"
        )
    )
    over.set()
    watcher.join()
    assert min(running for running, _ in seen) >= fewest_seen
    assert max(live for _, live in seen) <= most_seen
    assert cluster.primary["taskDefinition"] == second


def test_the_configuration_is_shown(cluster: Cluster) -> None:
    cluster.serve(cluster.site("1"), 1)
    shown = cluster.service["deploymentConfiguration"]
    assert (shown["maximumPercent"], shown["minimumHealthyPercent"]) == (200, 100)
    cluster.update(deploymentConfiguration={"maximumPercent": 150})
    shown = cluster.service["deploymentConfiguration"]
    assert (shown["maximumPercent"], shown["minimumHealthyPercent"]) == (150, 100)


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "BLUE_GREEN"},
        {"alarms": {"alarmNames": ["a"], "enable": True, "rollback": True}},
    ],
)
def test_what_the_lab_would_not_do_is_refused(cluster: Cluster, settings: dict[str, Any]) -> None:
    with pytest.raises(cluster.ecs.exceptions.UnsupportedFeatureException):
        cluster.serve(cluster.site("1"), 1, deploymentConfiguration=settings)
    assert not cluster.ecs.list_services(cluster=cluster.name)["serviceArns"]


def test_the_bus_hears_of_deployments(cluster: Cluster) -> None:
    events, sqs = cluster.aws.client("events"), cluster.aws.client("sqs")
    queue, arn = create_queue(cluster.aws, cluster.name, "events.amazonaws.com")
    pattern = {"source": ["aws.ecs"], "detail-type": ["ECS Deployment State Change"]}
    events.put_rule(Name=cluster.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=cluster.name, Targets=[{"Id": "1", "Arn": arn}])
    settings = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    cluster.serve(broken(cluster), 1, deploymentConfiguration=settings)
    names: list[str] = []

    def heard() -> bool:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        mine = [json.loads(one["Body"]) for one in found]
        names.extend(
            one["detail"]["eventName"] for one in mine if cluster.name in one["resources"][0]
        )
        return "SERVICE_DEPLOYMENT_FAILED" in names

    eventually(heard, 20)
    assert names == ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_FAILED"]
    events.remove_targets(Rule=cluster.name, Ids=["1"])
    events.delete_rule(Name=cluster.name)
