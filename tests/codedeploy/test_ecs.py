"""CodeDeploy to an ECS service: task sets, two target groups, two listeners, and real traffic."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.cloud.balancers import Balancer, get, to
from tests.cloud.clusters import Cluster
from tests.cloud.functions import zipped
from tests.codedeploy.conftest import OVER
from tests.conftest import Aws
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

# a site; one whose VERSION begins with `bad` fails one request in two
SERVER = (
    "let count = 0; require('http').createServer((request, answer) => {"
    "  const bad = process.env.VERSION.startsWith('bad') && count++ % 2;"
    "  if (bad && !(request.headers['user-agent'] || '').startsWith('ELB')) answer.statusCode = 500;"
    "  answer.end(process.env.VERSION);"
    "}).listen(process.env.PORT, '127.0.0.1'); process.on('SIGTERM', () => process.exit(0));"
)
EVENTS = [
    "BeforeInstall",
    "Install",
    "AfterInstall",
    "AllowTestTraffic",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AllowTraffic",
    "AfterAllowTraffic",
]
PYTHON_HOOK = (
    "import boto3\n"
    "def handler(event, context):\n"
    "    boto3.client('codedeploy').put_lifecycle_event_hook_execution_status(\n"
    "        deploymentId=event['DeploymentId'],\n"
    "        lifecycleEventHookExecutionId=event['LifecycleEventHookExecutionId'],\n"
    "        status='{status}')\n"
)


class Service:
    """An ECS service behind two listeners, and an application that deploys to it."""

    def __init__(self, aws: Aws, cluster: Cluster, role: str) -> None:
        self.aws, self.cluster, self.role = aws, cluster, role
        self.codedeploy, self.balancer = aws.client("codedeploy"), Balancer(aws)
        self.blue, self.green = self.balancer.group(), self.balancer.group()
        elb = self.balancer.elb
        for group in (self.blue, self.green):
            delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "6"}]
            elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
        self.test_url = self.balancer.listen(to(self.green))
        self.test_listener = self.balancer.listener
        self.url = self.balancer.listen(to(self.blue))
        self.listener = self.balancer.listener
        self.name = f"t-{uuid4().hex[:10]}"
        self.codedeploy.create_application(applicationName=self.name, computePlatform="ECS")
        balanced = {"targetGroupArn": self.blue, "containerName": "app", "containerPort": 8080}
        cluster.serve(
            self.definition("1"),
            2,
            deploymentController={"type": "CODE_DEPLOY"},
            loadBalancers=[balanced],
        )
        eventually(lambda: get(f"{self.url}/") == (200, "1"))
        self.balancer.wait_healthy(self.blue)

    def definition(self, version: str, **environment: str) -> str:
        uri = self.cluster.push(
            version, {"server.js": SERVER}, "node", "server.js", VERSION=version
        )
        return self.cluster.define(uri, portMappings=[{"containerPort": 8080}])

    def group(self, *, test: bool = True, **settings: Any) -> None:
        named = [
            self.balancer.elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
            for arn in (self.blue, self.green)
        ]
        pair: dict[str, Any] = {
            "targetGroups": [{"name": one["TargetGroupName"]} for one in named],
            "prodTrafficRoute": {"listenerArns": [self.listener]},
        }
        if test:
            pair["testTrafficRoute"] = {"listenerArns": [self.test_listener]}
        options = {
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "terminateBlueInstancesOnDeploymentSuccess": {
                "action": "TERMINATE",
                "terminationWaitTimeInMinutes": 0,
            },
        }
        usual = {
            "serviceRoleArn": self.role,
            "ecsServices": [{"serviceName": "site", "clusterName": self.cluster.name}],
            "loadBalancerInfo": {"targetGroupPairInfoList": [pair]},
            "blueGreenDeploymentConfiguration": {**options, **settings.pop("options", {})},
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN",
                "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
        }
        self.codedeploy.create_deployment_group(
            applicationName=self.name, deploymentGroupName="site", **{**usual, **settings}
        )

    def start(self, definition: str, hooks: dict[str, str] | None = None, **settings: Any) -> str:
        properties = {
            "TaskDefinition": definition,
            "LoadBalancerInfo": {"ContainerName": "app", "ContainerPort": 8080},
        }
        resource = {"Type": "AWS::ECS::Service", "Properties": properties}
        spec: dict[str, Any] = {"version": 0.0, "Resources": [{"TargetService": resource}]}
        if hooks:
            spec["Hooks"] = [{event: function} for event, function in hooks.items()]
        revision = {
            "revisionType": "AppSpecContent",
            "appSpecContent": {"content": json.dumps(spec)},
        }
        return self.codedeploy.create_deployment(
            applicationName=self.name,
            deploymentGroupName="site",
            revision=revision,
            **settings,
        )["deploymentId"]

    def get(self, deployment: str) -> dict[str, Any]:
        return self.codedeploy.get_deployment(deploymentId=deployment)["deploymentInfo"]

    def wait(self, deployment: str, seconds: float = 30) -> dict[str, Any]:
        return eventually(
            lambda: self.get(deployment), seconds, enough=lambda info: info["status"] in OVER
        )

    def target(self, deployment: str) -> dict[str, Any]:
        [identifier] = self.codedeploy.list_deployment_targets(deploymentId=deployment)["targetIds"]
        answer = self.codedeploy.get_deployment_target(deploymentId=deployment, targetId=identifier)
        return answer["deploymentTarget"]["ecsTarget"]

    def hook(self, name: str, status: str) -> str:
        """A function that answers a lifecycle hook."""
        function = f"{self.name}-{name}"
        self.aws.client("lambda").create_function(
            FunctionName=function,
            Runtime="python3.11",
            Handler="hook.handler",
            Role=self.role,
            Timeout=20,
            Code={"ZipFile": zipped("hook.py", PYTHON_HOOK.format(status=status))},
        )
        return function

    def answers(self) -> Callable[[], tuple[int, str]]:
        return lambda: get(f"{self.url}/")


@pytest.fixture(scope="session")
def role(aws: Aws) -> str:
    """A role for CodeDeploy, and for the functions of its hooks."""
    name = f"t-{uuid4().hex[:10]}"
    return create_role(aws, name, "codedeploy.amazonaws.com", "lambda.amazonaws.com")


@pytest.fixture
def service(lab_environment: Aws, tmp_path: Path, role: str) -> Iterator[Service]:
    cluster = Cluster(lab_environment, tmp_path)
    made = Service(lab_environment, cluster, role)
    yield made
    cluster.ecs.delete_service(cluster=cluster.name, service="site", force=True)
    made.balancer.elb.delete_load_balancer(LoadBalancerArn=made.balancer.arn)


def ask_all_the_time(service: Service) -> tuple[list[tuple[int, str]], Callable[[], None]]:
    seen: list[tuple[int, str]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.005):
            seen.append(get(f"{service.url}/"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()

    def end() -> None:
        over.set()
        for thread in threads:
            thread.join()

    return seen, end


def test_all_at_once_nobody_notices(service: Service) -> None:
    # "Deployments on an Amazon ECS compute platform"
    service.group()
    seen, end = ask_all_the_time(service)
    deployment = service.start(service.definition("2"))
    info = service.wait(deployment)
    end()
    assert info["status"] == "Succeeded", info
    assert set(seen) == {(200, "1"), (200, "2")}
    assert get(f"{service.url}/") == (200, "2")
    target = service.target(deployment)
    assert [one["lifecycleEventName"] for one in target["lifecycleEvents"]] == EVENTS
    assert {one["status"] for one in target["lifecycleEvents"]} == {"Succeeded"}
    labels = {one["taskSetLabel"]: one["trafficWeight"] for one in target["taskSetsInfo"]}
    assert labels == {"Blue": 0.0, "Green": 100.0}
    [task_set] = service.cluster.service["taskSets"]
    assert task_set["status"] == "PRIMARY"
    assert task_set["externalId"] == deployment


def test_the_test_listener_comes_first_and_somebody_continues(service: Service) -> None:
    # "DeploymentReadyOption" in the CodeDeploy API Reference
    ready = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 60}
    service.group(options={"deploymentReadyOption": ready})
    deployment = service.start(service.definition("2"))
    eventually(lambda: service.get(deployment)["status"] == "Ready")
    assert get(f"{service.test_url}/") == (200, "2")
    assert get(f"{service.url}/") == (200, "1")
    service.codedeploy.continue_deployment(deploymentId=deployment, deploymentWaitType="READY_WAIT")
    assert service.wait(deployment)["status"] == "Succeeded"
    assert get(f"{service.url}/") == (200, "2")


def long_canary(service: Service) -> str:
    """A configuration of ten hours: however busy the machine is, what is looked at comes first."""
    name = f"{service.cluster.name}-tenth"
    service.codedeploy.create_deployment_config(
        deploymentConfigName=name,
        computePlatform="ECS",
        trafficRoutingConfig={
            "type": "TimeBasedCanary",
            "timeBasedCanary": {"canaryPercentage": 10, "canaryInterval": 600},
        },
    )
    return name


def test_a_canary_gets_its_share_and_a_bad_one_is_taken_back(service: Service) -> None:
    # "Working with deployment configurations", "Monitoring deployments with CloudWatch alarms"
    cloudwatch, name = service.aws.client("cloudwatch"), f"errors-{service.name}"
    dimension = service.balancer.arn.split("loadbalancer/")[1]
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/ApplicationELB", MetricName="HTTPCode_Target_5XX_Count",
        Dimensions=[{"Name": "LoadBalancer", "Value": dimension}], Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=5, ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )  # fmt: skip
    service.group(
        deploymentConfigName=long_canary(service),
        alarmConfiguration={"enabled": True, "alarms": [{"name": name}]},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]},
    )
    seen, end = ask_all_the_time(service)
    info = service.wait(service.start(service.definition("bad")))
    back = service.wait(info["rollbackInfo"]["rollbackDeploymentId"])
    end()
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    assert (back["status"], back["creator"]) == ("Succeeded", "codeDeployRollback")
    statuses = Counter(status for status, _ in seen)
    assert 5 < statuses[500] < 0.06 * len(seen), statuses
    assert {get(f"{service.url}/") for _ in range(20)} == {(200, "1")}
    eventually(lambda: len(service.cluster.service["taskSets"]) == 1)
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_a_tenth_of_the_traffic_is_a_tenth(service: Service) -> None:
    service.group(deploymentConfigName=long_canary(service))
    deployment = service.start(service.definition("2"))
    eventually(lambda: {get(f"{service.url}/")[1] for _ in range(40)} == {"1", "2"})
    seen = Counter(get(f"{service.url}/")[1] for _ in range(1000))
    assert abs(seen["2"] - 100) < 3.9 * math.sqrt(1000 * 0.1 * 0.9), seen
    service.codedeploy.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)
    info = service.wait(deployment)
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")
    service.wait(info["rollbackInfo"]["rollbackDeploymentId"])
    assert {get(f"{service.url}/") for _ in range(20)} == {(200, "1")}


@pytest.mark.parametrize("event", ["BeforeInstall", "AfterAllowTestTraffic"])
def test_a_hook_that_fails_ends_it_before_the_users_see_it(service: Service, event: str) -> None:
    # "AppSpec 'hooks' section" for Amazon ECS
    service.group(autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]})
    hooks = {event: service.hook("bad", "Failed")}
    if event != "BeforeInstall":
        hooks["BeforeInstall"] = service.hook("good", "Succeeded")
    info = service.wait(service.start(service.definition("2"), hooks))
    assert (info["status"], info["errorInformation"]["code"]) == (
        "Failed",
        "HOOK_EXECUTION_FAILURE",
    )
    rolled_back = "rollbackDeploymentId" in info["rollbackInfo"]
    assert rolled_back == (event != "BeforeInstall")
    if rolled_back:
        service.wait(info["rollbackInfo"]["rollbackDeploymentId"])
    assert get(f"{service.url}/") == (200, "1")
    assert len(service.cluster.service["taskSets"]) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("version: 0.0\nResources: []", "a list of one resource"),
        (
            "version: 0.0\nResources: [{a: {Type: 'AWS::Lambda::Function', Properties: {}}}]",
            "expected AWS::ECS::Service",
        ),
        (
            "version: 0.0\nResources: [{a: {Type: 'AWS::ECS::Service', Properties: {}}}]",
            "TaskDefinition is missing",
        ),
        (
            "version: 0.0\nResources: [{a: {Type: 'AWS::ECS::Service', Properties: "
            "{TaskDefinition: x, LoadBalancerInfo: {ContainerName: c, ContainerPort: 1}}}}]\n"
            "Hooks: [{ApplicationStart: f}]",
            "unknown lifecycle event ApplicationStart",
        ),
        (
            "version: 0.0\nResources: [{a: {Type: 'AWS::ECS::Service', Properties: "
            "{TaskDefinition: x, LoadBalancerInfo: {ContainerName: c, ContainerPort: 1}, "
            "CapacityProviderStrategy: [{CapacityProvider: mine, Weight: 1}]}}}]\n",
            "the capacity providers FARGATE and FARGATE_SPOT, and not mine",
        ),
    ],
)
def test_an_appspec_that_is_refused(service: Service, spec: str, message: str) -> None:
    service.group()
    deployment = service.codedeploy.create_deployment(
        applicationName=service.name,
        deploymentGroupName="site",
        revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": spec}},
    )["deploymentId"]
    error = service.wait(deployment)["errorInformation"]
    assert error["code"] == "INVALID_REVISION"
    assert message in error["message"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"ecsServices": []}, "InvalidECSServiceException"),
        ({"loadBalancerInfo": {}}, "InvalidLoadBalancerInfoException"),
        (
            {"deploymentConfigName": "CodeDeployDefault.AllAtOnce"},
            "InvalidDeploymentConfigNameException",
        ),
    ],
)
def test_a_group_that_cannot_be(service: Service, settings: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        service.group(**settings)
    assert refused.value.response["Error"]["Code"] == code
