"""Deployments to functions: aliases shifted all at once, by canary and linearly, with hooks and alarms.

AWS pages: "Deployments on an AWS Lambda compute platform"; "AppSpec File structure" and "AppSpec
'hooks' section" for Lambda; "Working with deployment configurations"; "Redeploy and roll back a
deployment with CodeDeploy"; "Monitoring deployments with CloudWatch alarms in CodeDeploy".
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.cloud.functions import Functions, make_functions, zipped
from tests.codedeploy.conftest import OVER
from tests.roles import create_role
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

HANDLER = "exports.handler = async () => ({ version: process.env.AWS_LAMBDA_FUNCTION_VERSION });"
HOOK = """
import boto3, os
def handler(event, context):
    status = os.environ["ANSWER"]
    if status != "nothing":
        boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"], status=status)
"""


@dataclass
class Live:
    """A function with two versions and the alias `live` on the first, and a deployment group."""

    functions: Functions
    role: str
    name: str = ""
    application: str = ""

    @property
    def api(self) -> Any:
        return self.functions.aws.client("codedeploy")

    @property
    def lambda_(self) -> Any:
        return self.functions.api

    def make(self, **group: Any) -> Live:
        made = Live(self.functions, self.role, self.functions.make(HANDLER), f"a-{uuid4().hex[:6]}")
        made.lambda_.publish_version(FunctionName=made.name)
        made.lambda_.create_alias(FunctionName=made.name, Name="live", FunctionVersion="1")
        made.lambda_.update_function_code(
            FunctionName=made.name, ZipFile=zipped("index.js", HANDLER + "// two")
        )
        made.lambda_.publish_version(FunctionName=made.name)
        made.api.create_application(applicationName=made.application, computePlatform="Lambda")
        made.api.create_deployment_group(
            **{
                "applicationName": made.application,
                "deploymentGroupName": "live",
                "serviceRoleArn": self.role,
                "deploymentConfigName": "CodeDeployDefault.LambdaAllAtOnce",
                **group,
            }
        )
        return made

    def appspec(self, hooks: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        properties = {"Name": self.name, "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2", **more}  # fmt: skip
        resource = {"Type": "AWS::Lambda::Function", "Properties": properties}
        spec = {
            "version": 0.0,
            "Resources": [{"it": resource}],
            "Hooks": [{event: function} for event, function in (hooks or {}).items()],
        }
        return {"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}}

    def deploy(self, revision: dict[str, Any] | None = None, **more: Any) -> str:
        return self.api.create_deployment(
            applicationName=self.application, deploymentGroupName="live",
            revision=revision or self.appspec(), **more,
        )["deploymentId"]  # fmt: skip

    def info(self, deployment: str) -> dict[str, Any]:
        return self.api.get_deployment(deploymentId=deployment)["deploymentInfo"]

    def over(self, deployment: str) -> dict[str, Any]:
        return eventually(lambda: self.info(deployment), enough=lambda info: info["status"] in OVER)

    def target(self, deployment: str) -> dict[str, Any]:
        [target] = self.api.list_deployment_targets(deploymentId=deployment)["targetIds"]
        found = self.api.get_deployment_target(deploymentId=deployment, targetId=target)
        return found["deploymentTarget"]["lambdaTarget"]

    def alias(self) -> tuple[str, dict[str, float]]:
        alias = self.lambda_.get_alias(FunctionName=self.name, Name="live")
        return alias["FunctionVersion"], (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}  # fmt: skip

    def config(self, kind: str, share: int, minutes: int) -> str:
        name, key = f"c-{uuid4().hex[:6]}", "timeBased" + kind
        prefix = kind.lower()
        self.api.create_deployment_config(
            deploymentConfigName=name, computePlatform="Lambda",
            trafficRoutingConfig={
                "type": f"TimeBased{kind}",
                key: {f"{prefix}Percentage": share, f"{prefix}Interval": minutes},
            },
        )  # fmt: skip
        return name


MANAGED = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"


@pytest.fixture(scope="session")
def live(aws: Any) -> Live:
    return Live(make_functions(aws), create_role(aws, "shifts", "codedeploy.amazonaws.com"))


def hook(live: Live, answer: str) -> str:
    return live.functions.make(HOOK, "python3.11", Environment={"Variables": {"ANSWER": answer}})


def test_all_at_once(live: Live) -> None:
    live = live.make()
    deployment = live.deploy()
    info = live.over(deployment)
    assert info["status"] == "Succeeded", info
    assert (info["computePlatform"], info["deploymentStyle"]["deploymentType"]) == ("Lambda", "BLUE_GREEN")  # fmt: skip
    assert info["deploymentOverview"]["Succeeded"] == 1
    assert live.alias() == ("2", {})
    target = live.target(deployment)
    assert [(event["lifecycleEventName"], event["status"]) for event in target["lifecycleEvents"]] == [
        ("BeforeAllowTraffic", "Succeeded"), ("AllowTraffic", "Succeeded"), ("AfterAllowTraffic", "Succeeded"),
    ]  # fmt: skip
    shown = target["lambdaFunctionInfo"]
    assert (shown["currentVersion"], shown["targetVersion"], shown["targetVersionWeight"]) == ("1", "2", 100.0)  # fmt: skip


@pytest.mark.slow
def test_a_canary_gets_its_share_of_the_traffic(live: Live) -> None:
    live = live.make()
    config = live.config("Canary", 20, 60)  # a minute in the lab
    deployment = live.deploy(deploymentConfigName=config)
    eventually(lambda: live.alias() == ("1", {"2": 0.2}), what="the canary is out")
    count = 200
    seen = Counter(live.functions.call(f"{live.name}:live")[0]["version"] for _ in range(count))
    assert live.alias() == ("1", {"2": 0.2}), "the canary was over before it was measured"
    assert abs(seen["2"] - count * 0.2) < 2 * 2.58 * sqrt(count * 0.2 * 0.8)
    assert live.info(deployment)["status"] == "InProgress"
    live.api.stop_deployment(deploymentId=deployment)
    assert live.over(deployment)["status"] == "Stopped"


def test_linear_steps(live: Live) -> None:
    live = live.make()
    deployment = live.deploy(deploymentConfigName=live.config("Linear", 40, 1))
    seen = []
    while live.info(deployment)["status"] not in OVER:
        state = live.alias()
        seen += [state] if state not in seen else []
        time.sleep(0.05)
    assert live.info(deployment)["status"] == "Succeeded"
    wanted = [("1", {"2": 0.4}), ("1", {"2": 0.8})]
    assert [state for state in seen if state in wanted] == wanted
    assert live.alias() == ("2", {})


@pytest.mark.parametrize("name", ["LambdaCanary10Percent5Minutes", "LambdaLinear10PercentEvery1Minute", "LambdaAllAtOnce"])  # fmt: skip
def test_predefined_configurations(live: Live, name: str) -> None:
    found = live.api.get_deployment_config(deploymentConfigName=f"CodeDeployDefault.{name}")
    info = found["deploymentConfigInfo"]
    assert info["computePlatform"] == "Lambda"
    kind = {"C": "TimeBasedCanary", "L": "TimeBasedLinear", "A": "AllAtOnce"}[name[6]]
    assert info["trafficRoutingConfig"]["type"] == kind


def test_hooks_are_asked_before_and_after(live: Live) -> None:
    live = live.make()
    good = hook(live, "Succeeded")
    hooks = {"BeforeAllowTraffic": good, "AfterAllowTraffic": good}
    deployment = live.deploy(live.appspec(hooks))
    assert live.over(deployment)["status"] == "Succeeded"


def test_the_managed_policy_is_enough(live: Live) -> None:
    # it invokes functions named CodeDeployHook_*, reads and moves aliases, and reads no function
    iam, name = live.functions.aws.client("iam"), f"managed-{uuid4().hex[:6]}"
    arn = create_role(live.functions.aws, name, "codedeploy.amazonaws.com")
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    iam.attach_role_policy(RoleName=name, PolicyArn=MANAGED)
    live = replace(live, role=arn).make()
    named = f"CodeDeployHook_{uuid4().hex[:6]}"
    variables = {"Variables": {"ANSWER": "Succeeded"}}
    live.functions.make(HOOK, "python3.11", FunctionName=named, Environment=variables)
    other = live.over(live.deploy(live.appspec({"BeforeAllowTraffic": hook(live, "Succeeded")})))
    assert other["errorInformation"]["code"] == "HOOK_EXECUTION_FAILURE"
    info = live.over(live.deploy(live.appspec({"BeforeAllowTraffic": named})))
    assert info["status"] == "Succeeded", info
    assert live.alias() == ("2", {})


def test_a_hook_that_fails_before_leaves_the_traffic(live: Live) -> None:
    live = live.make()
    deployment = live.deploy(live.appspec({"BeforeAllowTraffic": hook(live, "Failed")}))
    info = live.over(deployment)
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "HOOK_EXECUTION_FAILURE")  # fmt: skip
    assert live.alias() == ("1", {})
    statuses = [event["status"] for event in live.target(deployment)["lifecycleEvents"]]
    assert statuses == ["Failed", "Skipped", "Skipped"]


def test_a_hook_that_fails_afterwards_rolls_back(live: Live) -> None:
    rollback = {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}
    live = live.make(autoRollbackConfiguration=rollback)
    deployment = live.deploy(live.appspec({"AfterAllowTraffic": hook(live, "Failed")}))
    info = live.over(deployment)
    assert info["status"] == "Failed"
    again = info["rollbackInfo"]["rollbackDeploymentId"]
    back = live.over(again)
    assert (back["status"], back["creator"]) == ("Succeeded", "codeDeployRollback")
    assert back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == deployment
    assert live.alias() == ("1", {})


def test_answers_to_hooks_are_checked(live: Live) -> None:
    live = live.make()
    deployment = live.deploy(live.appspec({"BeforeAllowTraffic": hook(live, "nothing")}))
    put = live.api.put_lifecycle_event_hook_execution_status
    with pytest.raises(ClientError, match="InvalidLifecycleEventHookExecutionId"):
        put(deploymentId=deployment, lifecycleEventHookExecutionId="none", status="Succeeded")
    live.api.stop_deployment(deploymentId=deployment)
    assert live.over(deployment)["status"] == "Stopped"


def test_an_alarm_stops_and_rolls_back(live: Live) -> None:
    name = f"alarm-{uuid4().hex[:6]}"
    cloudwatch = live.functions.aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, MetricName="Errors", Namespace="AWS/Lambda", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
        TreatMissingData="ignore",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="calm")
    live = live.make(
        alarmConfiguration={"enabled": True, "alarms": [{"name": name}]},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]},
    )
    deployment = live.deploy(deploymentConfigName=live.config("Canary", 10, 30))
    eventually(lambda: live.alias() == ("1", {"2": 0.1}), what="the canary is out")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="errors")
    info = live.over(deployment)
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    assert live.over(info["rollbackInfo"]["rollbackDeploymentId"])["status"] == "Succeeded"
    assert live.alias() == ("1", {})


def test_a_second_deployment_is_refused_while_one_runs(live: Live) -> None:
    live = live.make()
    deployment = live.deploy(
        deploymentConfigName="CodeDeployDefault.LambdaCanary10Percent30Minutes"
    )
    with pytest.raises(ClientError, match="DeploymentLimitExceeded"):
        live.deploy()
    eventually(lambda: live.alias()[1], what="the canary is out")
    live.api.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)
    info = live.over(deployment)
    assert info["errorInformation"]["code"] == "MANUAL_STOP"
    assert live.over(info["rollbackInfo"]["rollbackDeploymentId"])["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        ({"TargetVersion": "9"}, "INVALID_LAMBDA_FUNCTION", ""),
        ({"Name": "no-such-function"}, "INVALID_LAMBDA_FUNCTION", ""),
        ({"CurrentVersion": "2", "TargetVersion": "1"}, "INVALID_LAMBDA_CONFIGURATION", "not the currentversion 2"),
        ({"TargetVersion": "latest"}, "INVALID_REVISION", "targetversion"),
    ],
)  # fmt: skip
def test_what_an_appspec_names_has_to_be_there(live: Live, more: dict[str, str], code: str, told: str) -> None:  # fmt: skip
    live = live.make()
    info = live.over(live.deploy(live.appspec(**more)))
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", code)
    assert told in info["errorInformation"]["message"]
    assert live.alias() == ("1", {})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "a not well-formed yaml"),
        ("version: 1.0", "version must be 0.0"),
        ("version: 0.0", "list of one resource"),
        ("version: 0.0\nResources: [{a: {Type: AWS::ECS::Service}}]", "AWS::ECS::Service"),
        ("version: 0.0\nResources: [{a: {Type: AWS::Lambda::Function, Properties: {Name: f}}}]", "alias"),
    ],
)  # fmt: skip
def test_an_appspec_that_is_not_valid(live: Live, content: str, told: str) -> None:
    live = live.make()
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}
    info = live.over(live.deploy(revision))
    assert info["errorInformation"]["code"] == "INVALID_REVISION"
    assert told in info["errorInformation"]["message"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"deploymentConfigName": "CodeDeployDefault.OneAtATime"}, "InvalidDeploymentConfigNameException"),
        ({"deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}}, "InvalidDeploymentStyleException"),
        ({"ec2TagFilters": [{"Key": "a", "Type": "KEY_ONLY"}]}, "InvalidEC2TagException"),
        ({"alarmConfiguration": {"enabled": True}}, "InvalidAlarmConfigException"),
    ],
)  # fmt: skip
def test_what_a_group_of_functions_cannot_have(live: Live, settings: dict[str, Any], code: str) -> None:  # fmt: skip
    with pytest.raises(ClientError) as refused:
        live.make(**settings)
    assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("routing", "code"),
    [
        (None, "InvalidTrafficRoutingConfigurationException"),
        ({"type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 100, "canaryInterval": 1}}, "InvalidTrafficRoutingConfigurationException"),
        ({"type": "TimeBasedLinear", "timeBasedLinear": {"linearPercentage": 10, "linearInterval": 3000}}, "InvalidTrafficRoutingConfigurationException"),
    ],
)  # fmt: skip
def test_what_a_configuration_cannot_say(live: Live, routing: Any, code: str) -> None:
    more = {"trafficRoutingConfig": routing} if routing else {}
    with pytest.raises(ClientError) as refused:
        live.api.create_deployment_config(deploymentConfigName=f"c-{uuid4().hex[:6]}", computePlatform="Lambda", **more)  # fmt: skip
    assert refused.value.response["Error"]["Code"] == code
