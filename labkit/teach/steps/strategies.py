"""Lesson 10: what is wrong with an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from labkit.lab import Lab


def alarm_made(lab: Lab) -> Iterator[str]:
    alarms = lab.client("cloudwatch").describe_alarms(AlarmNames=[f"{lab.name}-errors"])
    if not alarms["MetricAlarms"]:
        yield f"CloudWatch has no alarm {lab.name}-errors: call put_metric_alarm"
    [alarm] = alarms["MetricAlarms"]
    if alarm["MetricName"] != "HTTPCode_Target_5XX_Count":
        yield f"it looks at {alarm['MetricName']}; users see HTTPCode_Target_5XX_Count"
    if not alarm["Dimensions"]:
        yield "it looks at no load balancer: Dimensions"
    if alarm["Statistic"] != "Sum":
        yield f"each failed request counts as 1, so their {alarm['Statistic']} says nothing. Take the Sum"
    if alarm["ComparisonOperator"] != "GreaterThanThreshold" or alarm["Threshold"] != 2:
        yield "it should be raised by more than two failures a minute: GreaterThanThreshold, 2"
    if alarm.get("TreatMissingData") != "notBreaching":
        yield "where there is no failure there is no data either, and that is fine: notBreaching"


def gap_seen(failed: pd.Series[bool]) -> str:
    return "yes" if failed.any() else "no"


def bad_in_place(done: dict[str, Any]) -> str:
    return str(done["status"])


def blue_green_described(options: dict[str, Any]) -> Iterator[str]:
    blue = options["terminateBlueInstancesOnDeploymentSuccess"]
    if options["greenFleetProvisioningOption"]["action"] != "DISCOVER_EXISTING":
        yield "the green hosts are there already: DISCOVER_EXISTING"
    if options["deploymentReadyOption"]["actionOnTimeout"] != "CONTINUE_DEPLOYMENT":
        yield "it would stop and wait until somebody moves the traffic by hand: CONTINUE_DEPLOYMENT"
    if blue["action"] != "TERMINATE":
        yield f"blue would run, and cost money, until somebody remembers it: TERMINATE, not {blue['action']}"
    if blue.get("terminationWaitTimeInMinutes", 0) == 0:
        yield "blue would be gone at once, and with it the short way back: terminationWaitTimeInMinutes"
    if blue["terminationWaitTimeInMinutes"] != 60:
        yield f"blue stays for {blue['terminationWaitTimeInMinutes']} minutes, not for an hour"


def bad_blue_green(bad: dict[str, Any]) -> str:
    return str(bad["status"])


def appspec_written(appspec: Callable[[str], dict[str, Any]]) -> Iterator[str]:
    made = appspec("arn:of-a-task")
    if made.get("revisionType") != "AppSpecContent":
        yield "for ECS nothing is in a bucket; the revision is the AppSpec itself: AppSpecContent"
    content = made["appSpecContent"]["content"]
    if not isinstance(content, str):
        yield "the content is a text: json.dumps"
    [resource] = json.loads(content)["Resources"]
    [service] = resource.values()
    if service["Type"] != "AWS::ECS::Service":
        yield f"the resource's type is AWS::ECS::Service, not {service['Type']}"
    properties = service["Properties"]
    if properties.get("TaskDefinition") != "arn:of-a-task":
        yield "it does not name the task definition that it was given"
    if not {"ContainerName", "ContainerPort"} <= set(properties.get("LoadBalancerInfo", {})):
        yield "the load balancer has to know which container and port: LoadBalancerInfo"


def fewest_errors(table: pd.DataFrame) -> str:
    return str(table["failed %"].idxmin()).removesuffix(" 10 %")
