"""Lesson 15: what is wrong with an answer."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from typing import Any

from labkit.lab import Lab


def alias_answers(live: str) -> str:
    return live


def weights_written(two: str, half: dict[str, Any]) -> Iterator[str]:
    weights = half.get("AdditionalVersionWeights", {})
    if not weights:
        yield f"the configuration's only key is AdditionalVersionWeights, not {', '.join(half)}"
    if "1" in weights:
        yield "version 1 is what the alias leads to already. Weigh the other one"
    if list(weights) != [two]:
        yield f"it weighs {', '.join(weights)}; the version to be tried is {two}"
    if weights[two] > 1:
        yield f"a weight is a share of 1, not {weights[two]} per cent"
    if weights[two] != 0.5:
        yield f"{weights[two]} is not a half"


def appspec_written(lab: Lab, appspec: Callable[..., dict[str, Any]], two: str) -> Iterator[str]:
    made = appspec(two, BeforeAllowTraffic="a-test")
    if made.get("revisionType") != "AppSpecContent":
        yield "for Lambda nothing is in a bucket; the revision is the AppSpec itself: AppSpecContent"
    spec = json.loads(made["appSpecContent"]["content"])
    [[resource]] = [list(one.values()) for one in spec["Resources"]]
    if resource["Type"] != "AWS::Lambda::Function":
        yield f"the resource's type is AWS::Lambda::Function, not {resource['Type']}"
    properties = resource["Properties"]
    now = lab.client("lambda").get_alias(FunctionName=lab.name, Name="live")["FunctionVersion"]
    if (properties.get("Name"), properties.get("Alias")) != (lab.name, "live"):
        yield f"it should move the alias live of the function {lab.name}: Name and Alias"
    if properties.get("TargetVersion") != two:
        yield "TargetVersion is the version that appspec was given"
    if properties.get("CurrentVersion") != now:
        yield f"CurrentVersion is what the alias leads to now, {now}: ask get_alias"
    if spec.get("Hooks") != [{"BeforeAllowTraffic": "a-test"}]:
        yield "Hooks is a list with one dict for each event that was named: [{event: function}, ...]"


def hook_written(TEST: str) -> Iterator[str]:
    try:
        functions = [one.name for one in ast.parse(TEST).body if isinstance(one, ast.FunctionDef)]
    except SyntaxError as error:
        functions = []
        yield f"Python does not understand it: line {error.lineno}, {error.msg}"
    if "handler" not in functions:
        yield "Lambda calls handler(event, context), as the next cell says"
    if "put_lifecycle_event_hook_execution_status" not in TEST:
        yield "it never answers CodeDeploy, which would wait for an hour"
    if 'os.environ["TARGET"]' not in TEST and "os.environ['TARGET']" not in TEST:
        yield "which version to call is in the environment: TARGET"
    if "FunctionError" not in TEST:
        yield "invoke does not raise when the function fails; the answer has a FunctionError then"
    if "Failed" not in TEST or "Succeeded" not in TEST:
        yield "it always says the same, whatever the function answered: Succeeded or Failed"


def stopped_by_the_test(events: Callable[[Any], dict[str, str]], stopped: Any) -> str:
    return "yes" if events(stopped)["BeforeAllowTraffic"] == "Failed" else "no"


def alarm_made(lab: Lab) -> Iterator[str]:
    found = lab.client("cloudwatch").describe_alarms(AlarmNames=[f"{lab.name}-errors"])
    if not found["MetricAlarms"]:
        yield f"CloudWatch has no alarm {lab.name}-errors: call put_metric_alarm"
    [alarm] = found["MetricAlarms"]
    dimensions = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    if (alarm["Namespace"], alarm["MetricName"]) != ("AWS/Lambda", "Errors"):
        yield f"it looks at {alarm['Namespace']}, {alarm['MetricName']}; failed calls are AWS/Lambda, Errors"
    if dimensions.get("Resource") != f"{lab.name}:live":
        yield "it would also count calls that are not the users': name the alias, by the dimension Resource"
    if alarm["Statistic"] != "Sum":
        yield f"each failed call counts as 1, so their {alarm['Statistic']} says nothing. Take the Sum"
    if alarm.get("TreatMissingData") != "notBreaching":
        yield "where nobody calls there is no data, and that is fine: notBreaching"
