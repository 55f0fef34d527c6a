"""Tasks that a target group finds unhealthy are replaced.

AWS pages: "Amazon ECS services"; "Amazon ECS service unhealthy event messages"; "CreateService" in
the ECS API Reference (healthCheckGracePeriodSeconds).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud.balancers import Balancer, to
from tests.cloud.clusters import Cluster
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

# it is ill when there is a file of that name, and listens after LATE milliseconds
SERVER = (
    "const ill = () => require('fs').existsSync('ill');"
    "const site = require('http').createServer((request, answer) => {"
    "  answer.statusCode = ill() ? 500 : 200; answer.end(); });"
    "setTimeout(() => site.listen(process.env.PORT, '127.0.0.1'), +process.env.LATE);"
    "process.on('SIGTERM', () => process.exit(0));"
)


class Balanced:
    """A service whose tasks are behind a listener."""

    def __init__(self, cluster: Cluster, balancer: Balancer) -> None:
        self.cluster, self.balancer = cluster, balancer
        self.group = balancer.group(UnhealthyThresholdCount=2)
        delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "6"}]
        balancer.elb.modify_target_group_attributes(TargetGroupArn=self.group, Attributes=delay)
        balancer.listen(to(self.group))

    def release(self, tag: str, late: int = 0, **files: str) -> str:
        uri = self.cluster.push(
            tag, {"server.js": SERVER, **files}, "node", "server.js", LATE=str(late)
        )
        return self.cluster.define(uri, portMappings=[{"containerPort": 8080}])

    def serve(self, definition: str, count: int, **settings: Any) -> None:
        balanced = {
            "targetGroupArn": self.group,
            "containerName": "app",
            "containerPort": 8080,
        }
        self.cluster.serve(definition, count, loadBalancers=[balanced], **settings)

    def make_ill(self, task: str) -> None:
        (self.cluster.files(task) / "ill").touch()

    def wait_replaced(self, task: str, count: int) -> dict[str, Any]:
        """The task, when it has stopped and the service is whole again."""
        stopped = self.cluster.wait(task, "STOPPED")
        eventually(lambda: self.cluster.service["runningCount"] == count)
        return stopped


@pytest.fixture
def balanced(cluster: Cluster, balancer: Balancer) -> Balanced:
    return Balanced(cluster, balancer)


def test_it_is_stopped_and_says_why(cluster: Cluster, balanced: Balanced) -> None:
    balanced.serve(balanced.release("1"), 2)
    cluster.wait_completed()
    ill, well = cluster.tasks()
    balanced.make_ill(ill)
    task = balanced.wait_replaced(ill, 2)
    told = f"Task failed ELB health checks in (target-group {balanced.group})"
    assert (task["stoppedReason"], task["stopCode"]) == (told, "ServiceSchedulerInitiated")
    assert (
        f"(service site) (task {ill.split('/')[-1]}) (port 8080) is unhealthy in (target-group "
        f"{balanced.group}) due to (reason Health checks failed with these codes: [500])."
    ) in cluster.said().splitlines()
    assert well in cluster.tasks()
    eventually(lambda: "reached a steady state" in cluster.service["events"][0]["message"])
    assert cluster.primary["failedTasks"] == 0


@pytest.mark.parametrize(
    ("most", "least", "new_one_first"),
    [(200, 100, True), (100, 0, False), (100, 100, False)],
)
def test_the_maximum_percent_says_which_comes_first(
    cluster: Cluster, balanced: Balanced, most: int, least: int, new_one_first: bool
) -> None:
    limits = {"maximumPercent": most, "minimumHealthyPercent": least}
    balanced.serve(balanced.release("1"), 1, deploymentConfiguration=limits)
    cluster.wait_completed()
    [ill] = cluster.tasks()
    balanced.make_ill(ill)
    stopped = balanced.wait_replaced(ill, 1)
    [new] = cluster.tasks()
    assert (cluster.task(new)["createdAt"] < stopped["stoppingAt"]) is new_one_first


def test_a_grace_period_passes_first(cluster: Cluster, balanced: Balanced) -> None:
    # on the scaled clock: three seconds
    balanced.serve(balanced.release("1"), 1, healthCheckGracePeriodSeconds=180)
    cluster.wait_completed()
    [ill] = cluster.tasks()
    balanced.make_ill(ill)
    task = balanced.wait_replaced(ill, 1)
    assert (task["stoppingAt"] - task["startedAt"]).total_seconds() >= 3


def test_the_grace_period_is_shown_and_changed(cluster: Cluster, balanced: Balanced) -> None:
    balanced.serve(balanced.release("1"), 0)
    assert cluster.service["healthCheckGracePeriodSeconds"] == 0
    cluster.update(healthCheckGracePeriodSeconds=90)
    cluster.update(desiredCount=0)
    assert cluster.service["healthCheckGracePeriodSeconds"] == 90
    # "This parameter doesn't trigger a new service deployment."
    assert len(cluster.service["deployments"]) == 1


def test_one_that_starts_slowly_is_given_its_time(cluster: Cluster, balanced: Balanced) -> None:
    # work takes the time it takes, so that a start is not measured by the scaled clock
    balanced.serve(balanced.release("1", late=1500), 1)
    eventually(lambda: len(cluster.tasks()) == 1)
    [first] = cluster.tasks()
    cluster.wait_completed()
    assert cluster.tasks() == [first]
    assert "unhealthy" not in cluster.said()


def test_a_release_that_is_never_healthy_is_rolled_back(
    cluster: Cluster, balanced: Balanced
) -> None:
    # "How the Amazon ECS deployment circuit breaker detects failures"
    good = balanced.release("1")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    balanced.serve(good, 3, deploymentConfiguration=breaker)
    cluster.wait_completed()
    before = set(cluster.tasks())
    cluster.update(taskDefinition=balanced.release("2", ill=""))
    eventually(lambda: cluster.primary["taskDefinition"] == good)
    cluster.wait_completed()
    eventually(lambda: set(cluster.tasks()) == before)
    assert "is unhealthy in" in cluster.said()


def test_a_task_set_replaces_its_unhealthy_tasks(cluster: Cluster, balanced: Balanced) -> None:
    balanced.serve(balanced.release("1"), 1, deploymentController={"type": "CODE_DEPLOY"})

    def blue() -> dict[str, Any]:
        [found] = cluster.service["taskSets"]
        return found

    eventually(lambda: blue()["stabilityStatus"] == "STEADY_STATE" and blue()["runningCount"] == 1)
    [ill] = cluster.tasks()
    balanced.make_ill(ill)
    balanced.wait_replaced(ill, 1)
    who = f"(service site, taskSet {blue()['id']}) (task {ill.split('/')[-1]}) (port 8080)"
    assert f"{who} is unhealthy in" in cluster.said()
    eventually(lambda: blue()["stabilityStatus"] == "STEADY_STATE" and ill not in cluster.tasks())
