"""Deployments behind a load balancer: in place, blue/green, alarms; with a site that is asked all the time."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

SERVER = (
    "const [,, version] = process.argv;"
    "require('http').createServer((request, answer) => {"
    "  answer.statusCode = version.startsWith('bad') && request.url !== '/health' ? 500 : 200;"
    "  answer.end(version);"
    "}).listen(process.env.PORT, '127.0.0.1');"
)
SPEC = """version: 0.0
os: linux
files: [{source: server.js, destination: /srv/site}]
file_exists_behavior: OVERWRITE
hooks:
  ApplicationStop: [{location: stop.sh, timeout: 20}]
  ApplicationStart: [{location: start.sh, timeout: 20}]
  ValidateService: [{location: check.sh, timeout: 20}]
  BeforeBlockTraffic: [{location: say.sh}]
  AfterAllowTraffic: [{location: say.sh}]
"""
SITE = '"$HOST_ROOT"/srv/site'
STOP = f"test -f {SITE}/pid && kill $(cat {SITE}/pid); rm -f {SITE}/pid\n"
BLOCK = ["BeforeBlockTraffic", "BlockTraffic", "AfterBlockTraffic"]
ALLOW = ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"]
TRAFFIC = {"deploymentOption": "WITH_TRAFFIC_CONTROL"}


def release(version: str) -> dict[str, Any]:
    """A revision whose site answers with its version; `bad` ones answer 500, but are healthy."""
    return {
        "appspec.yml": SPEC,
        "server.js": SERVER,
        "stop.sh": STOP,
        "start.sh": f"nohup node {SITE}/server.js '{version}' >/dev/null 2>&1 & echo $! > {SITE}/pid\n",
        "check.sh": 'for i in $(seq 50); do curl -s "http://127.0.0.1:$PORT/health" && exit 0; sleep 0.1; done; exit 1\n',
        "say.sh": f"echo says {version}\n",
    }


class Site:
    """Hosts behind a load balancer, and what its users see."""

    def __init__(self, fleet: Any, hosts: int, green: int = 0) -> None:
        self.fleet, self.elb = fleet, fleet.aws.client("elbv2")
        self.name = f"t-{uuid4().hex[:10]}"
        self.hosts = [fleet.launch(Color=f"{self.name}-blue") for _ in range(hosts)]
        self.green = [fleet.launch(Color=f"{self.name}-green") for _ in range(green)]
        ec2 = fleet.aws.client("ec2")
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
        made = self.elb.create_load_balancer(Name=self.name, Subnets=subnets)
        self.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        made = self.elb.create_target_group(
            Name=self.name, Protocol="HTTP", Port=80, VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            HealthCheckIntervalSeconds=5, HealthCheckPath="/health",
        )  # fmt: skip
        self.target_group = made["TargetGroups"][0]["TargetGroupArn"]
        delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}]
        self.elb.modify_target_group_attributes(TargetGroupArn=self.target_group, Attributes=delay)
        forward = {"Type": "forward", "TargetGroupArn": self.target_group}
        made = self.elb.create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTP", Port=80, DefaultActions=[forward]
        )
        [described] = self.elb.describe_tags(ResourceArns=[made["Listeners"][0]["ListenerArn"]])[
            "TagDescriptions"
        ]
        tags = {one["Key"]: one["Value"] for one in described["Tags"]}
        self.url = f"http://localhost:{tags['labkit:port']}/"

    @property
    def balanced(self) -> dict[str, Any]:
        return {"targetGroupInfoList": [{"name": self.name}]}

    def tags(self, color: str) -> list[dict[str, str]]:
        return [{"Key": "Color", "Value": f"{self.name}-{color}", "Type": "KEY_AND_VALUE"}]

    def group(self, **settings: Any) -> str:
        return self.fleet.group(
            ec2TagFilters=self.tags("blue"), loadBalancerInfo=self.balanced, **settings
        )

    def blue_green(self, **options: Any) -> str:
        usual = {
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "greenFleetProvisioningOption": {"action": "DISCOVER_EXISTING"},
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "KEEP_ALIVE"},
        }
        more = {key: options.pop(key) for key in list(options) if key.endswith("Configuration")}
        return self.group(
            deploymentStyle={"deploymentType": "BLUE_GREEN", **TRAFFIC},
            blueGreenDeploymentConfiguration={**usual, **options},
            **more,
        )

    def serving(self) -> set[str]:
        found = self.elb.describe_target_health(TargetGroupArn=self.target_group)
        states = ("healthy", "initial", "unhealthy")
        return {
            one["Target"]["Id"]
            for one in found["TargetHealthDescriptions"]
            if one["TargetHealth"]["State"] in states
        }

    def get(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def close(self) -> None:
        self.elb.delete_load_balancer(LoadBalancerArn=self.balancer)
        self.fleet.aws.client("ec2").terminate_instances(InstanceIds=[*self.hosts, *self.green])


class Users:
    """Some who ask a site again and again; what they got, in order."""

    def __init__(self, site: Site, rate: float = 100) -> None:
        self.site, self.rate, self.seen, self._over = site, rate, [], threading.Event()

    def __enter__(self) -> Users:
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._over.wait(4 / self.rate):
            self.seen.append(self.site.get())

    def count(self) -> Counter[tuple[int, str]]:
        return Counter((status, body if status == 200 else "") for status, body in self.seen)


@pytest.fixture
def site(fleet: Any, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(fleet, *getattr(request, "param", (2,)))
    yield made
    made.close()


def test_in_place_one_at_a_time_nobody_notices(fleet: Any, site: Site) -> None:
    # "AppSpec 'hooks' section", lifecycle event hook availability, in-place deployment
    group = site.group(
        deploymentStyle={"deploymentType": "IN_PLACE", **TRAFFIC},
        deploymentConfigName="CodeDeployDefault.OneAtATime",
    )
    assert fleet.deploy(group, release("1"))["status"] == "Succeeded"
    assert site.serving() == set(site.hosts)
    with Users(site) as users:
        info = fleet.deploy(group, release("2"))
    assert info["status"] == "Succeeded"
    assert set(users.count()) == {(200, "1"), (200, "2")}, users.count()
    events = fleet.target(info["deploymentId"], site.hosts[0])["lifecycleEvents"]
    names = [event["lifecycleEventName"] for event in events]
    assert (names[:3], names[-3:]) == (BLOCK, ALLOW)
    log = fleet.scripts_log(group, info["deploymentId"], site.hosts[0])
    before, after = log.index("says 1"), log.index("says 2")  # E1: the old revision's script
    assert before < after
    assert info["loadBalancerInfo"] == site.balanced


def test_in_place_all_at_once_has_a_gap(fleet: Any, site: Site) -> None:
    group = site.group(deploymentStyle={"deploymentType": "IN_PLACE", **TRAFFIC})
    fleet.deploy(group, release("1"))
    with Users(site) as users:
        info = fleet.deploy(group, release("2"))
        eventually(lambda: (200, "2") in users.seen)
    assert info["status"] == "Succeeded"
    assert users.count()[503, ""] > 0


def test_a_host_that_does_not_become_healthy_fails_in_allow_traffic(fleet: Any, site: Site) -> None:
    group = site.group(deploymentStyle={"deploymentType": "IN_PLACE", **TRAFFIC})
    silent = {"appspec.yml": "version: 0.0\nos: linux\n"}
    deployment = fleet.start(group, silent)
    fleet.wait_for_event(deployment, site.hosts[0], "AllowTraffic")
    fleet.codedeploy.stop_deployment(deploymentId=deployment)
    assert fleet.wait(deployment)["status"] == "Stopped"
    event = fleet.events(deployment, site.hosts[0])["AllowTraffic"]
    assert event["status"] == "Failed"


@pytest.mark.parametrize("site", [(2, 2)], indirect=True)
def test_blue_green_nobody_notices(fleet: Any, site: Site) -> None:
    # "Overview of a blue/green deployment"
    first = site.group(deploymentStyle={"deploymentType": "IN_PLACE", **TRAFFIC})
    fleet.deploy(first, release("1"))
    group = site.blue_green()
    with Users(site, rate=200) as users:
        info = fleet.deploy(group, release("2"), targetInstances={"tagFilters": site.tags("green")})
        assert site.get() == (200, "2")
    assert info["status"] == "Succeeded", info
    assert {status for status, _ in users.count()} == {200}, users.count()
    assert site.serving() == set(site.green)
    labels = {
        label: fleet.codedeploy.list_deployment_targets(
            deploymentId=info["deploymentId"], targetFilters={"ServerInstanceLabel": [label]}
        )["targetIds"]
        for label in ("Blue", "Green")
    }
    assert {key: set(ids) for key, ids in labels.items()} == {
        "Blue": set(site.hosts),
        "Green": set(site.green),
    }
    blue = fleet.target(info["deploymentId"], site.hosts[0])
    assert (blue["instanceLabel"], blue["status"]) == ("Blue", "Succeeded")
    assert [event["lifecycleEventName"] for event in blue["lifecycleEvents"]] == BLOCK
    green = fleet.target(info["deploymentId"], site.green[0])
    names = [event["lifecycleEventName"] for event in green["lifecycleEvents"]]
    assert (names[0], names[-3:]) == ("ApplicationStop", ALLOW)
    # the next deployment finds the green instances as the original environment
    shown = fleet.codedeploy.get_deployment_group(
        applicationName=fleet.application, deploymentGroupName=group
    )["deploymentGroupInfo"]
    assert shown["ec2TagFilters"] == site.tags("green")


@pytest.mark.parametrize("site", [(1, 1)], indirect=True)
def test_blue_green_waits_to_be_continued_and_to_terminate(fleet: Any, site: Site) -> None:
    # "DeploymentReadyOption", "BlueInstanceTerminationOption" in the CodeDeploy API Reference
    ready = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60}
    end = {"action": "TERMINATE", "terminationWaitTimeInMinutes": 2000}
    group = site.blue_green(
        deploymentReadyOption=ready, terminateBlueInstancesOnDeploymentSuccess=end
    )
    green = {"tagFilters": site.tags("green")}
    deployment = fleet.start(group, release("2"), targetInstances=green)
    early = fleet.codedeploy.exceptions.DeploymentIsNotInReadyStateException
    with pytest.raises(early):
        fleet.codedeploy.continue_deployment(
            deploymentId=deployment, deploymentWaitType="TERMINATION_WAIT"
        )
    eventually(lambda: fleet.get(deployment)["status"] == "Ready")
    assert fleet.target(deployment, site.green[0])["status"] == "Ready"
    assert site.serving() == set()
    fleet.codedeploy.continue_deployment(deploymentId=deployment, deploymentWaitType="READY_WAIT")
    eventually(lambda: fleet.get(deployment)["instanceTerminationWaitTimeStarted"])
    assert site.serving() == set(site.green)
    fleet.codedeploy.skip_wait_time_for_instance_termination(deploymentId=deployment)
    assert fleet.wait(deployment)["status"] == "Succeeded"
    [state] = fleet.aws.client("ec2").describe_instances(InstanceIds=site.hosts)["Reservations"]
    assert state["Instances"][0]["State"]["Name"] == "terminated"


@pytest.mark.parametrize("site", [(1, 1)], indirect=True)
def test_blue_green_that_nobody_continues_stops(fleet: Any, site: Site) -> None:
    ready = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 1}
    group = site.blue_green(deploymentReadyOption=ready)
    info = fleet.deploy(group, release("2"), targetInstances={"tagFilters": site.tags("green")})
    assert info["status"] == "Stopped"
    assert site.serving() == set()
    assert "not continued within 1 minutes" in info["errorInformation"]["message"]


@pytest.mark.parametrize("site", [(1, 1)], indirect=True)
def test_an_alarm_after_the_switch_brings_blue_back(fleet: Any, site: Site) -> None:
    # "Redeploy and roll back a deployment with CodeDeploy"; the alarm reads what the balancer saw
    first = site.group(deploymentStyle={"deploymentType": "IN_PLACE", **TRAFFIC})
    fleet.deploy(first, release("1"))
    cloudwatch, name = fleet.aws.client("cloudwatch"), f"errors-{site.name}"
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/ApplicationELB", MetricName="HTTPCode_Target_5XX_Count",
        Dimensions=[{"Name": "LoadBalancer", "Value": site.balancer.split("loadbalancer/")[1]}],
        Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=3,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip
    group = site.blue_green(
        terminateBlueInstancesOnDeploymentSuccess={
            "action": "TERMINATE",
            "terminationWaitTimeInMinutes": 2000,
        },
        alarmConfiguration={"enabled": True, "alarms": [{"name": name}]},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]},
    )
    with Users(site) as users:
        info = fleet.deploy(
            group, release("bad"), targetInstances={"tagFilters": site.tags("green")}
        )
        assert info["status"] == "Stopped"
        assert info["errorInformation"]["code"] == "ALARM_ACTIVE"
        back = fleet.wait(info["rollbackInfo"]["rollbackDeploymentId"])
        assert (back["status"], back["creator"]) == ("Succeeded", "codeDeployRollback")
    assert site.get() == (200, "1")
    assert site.serving() == set(site.hosts)
    assert set(users.count()) == {(200, "1"), (500, "")}
    for host, names in ((site.hosts[0], ALLOW), (site.green[0], BLOCK)):
        events = fleet.target(back["deploymentId"], host)["lifecycleEvents"]
        assert [event["lifecycleEventName"] for event in events] == names  # E8
    # E4: the failed revision's script, though the good one is "last successful" elsewhere
    assert "says bad" in fleet.scripts_log(group, back["deploymentId"], site.green[0])
    cloudwatch.delete_alarms(AlarmNames=[name])


@pytest.mark.parametrize("site", [(1, 1)], indirect=True)
def test_a_bad_replacement_gets_no_traffic(fleet: Any, site: Site) -> None:
    group = site.blue_green(
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
    )
    broken = {**release("2"), "check.sh": "exit 3\n"}
    info = fleet.deploy(group, broken, targetInstances={"tagFilters": site.tags("green")})
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HEALTH_CONSTRAINTS")
    assert "rollbackDeploymentId" not in info["rollbackInfo"]
    assert site.serving() == set()


def test_an_alarm_that_is_on_stops_a_deployment_in_place(fleet: Any) -> None:
    cloudwatch, name = fleet.aws.client("cloudwatch"), f"on-{uuid4().hex[:8]}"
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="None", MetricName="None", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    group = fleet.group(
        fleet.hosts[0], alarmConfiguration={"enabled": True, "alarms": [{"name": name}]}
    )
    info = fleet.deploy(group, {"appspec.yml": "version: 0.0\nos: linux\n"})
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    assert name in info["errorInformation"]["message"]
    cloudwatch.delete_alarms(AlarmNames=[name])


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"deploymentStyle": TRAFFIC}, "InvalidLoadBalancerInfoException"),
        (
            {"deploymentStyle": {"deploymentType": "BLUE_GREEN"}},
            "InvalidDeploymentStyleException",
        ),
        (
            {
                "deploymentStyle": {"deploymentType": "BLUE_GREEN", **TRAFFIC},
                "loadBalancerInfo": {"targetGroupInfoList": [{"name": "x"}]},
            },
            "InvalidBlueGreenDeploymentConfigurationException",
        ),
        (
            {"loadBalancerInfo": {"elbInfoList": [{"name": "classic"}]}},
            "InvalidLoadBalancerInfoException",
        ),
        ({"alarmConfiguration": {"enabled": True}}, "InvalidAlarmConfigException"),
    ],
)
def test_a_group_that_cannot_be(fleet: Any, settings: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        fleet.group(fleet.hosts[0], **settings)
    assert refused.value.response["Error"]["Code"] == code
