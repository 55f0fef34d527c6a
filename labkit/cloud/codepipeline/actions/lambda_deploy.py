"""Deploy action Lambda: a new version of a function, and its alias's traffic shifted to it.

The minutes between two shares pass on the scaled clock. An alarm that is raised meanwhile, or is raised
already, gives all traffic back to the version that had it. AWS page: "AWS Lambda deploy action
reference".
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.shared import runtime

_LOOK_SECONDS = 0.2
_MOST_ALARMS = 10
_MOST_MINUTES = 2 * 24 * 60
_CANARY = re.compile(r"Canary(\d{1,2})Percent(\d+)Minutes?")
_LINEAR = re.compile(r"Linear(\d{1,2})PercentEvery(\d+)Minutes?")
Steps = list[tuple[int, int]]  # the percentage of the new version, and for how many minutes


def run(action: Action) -> None:
    """Publish the artifact, or take the published version, and shift the alias to it."""
    given = action.configuration
    alias, steps = given.get("FunctionAlias"), _steps(given)
    version = given.get("PublishedTargetVersion") or _publish(action)
    action.run.variables = {"FunctionVersion": version}
    action.report(external_id=version, summary=f"Version {version} of {given['FunctionName']}")
    if alias:
        _shift(action, alias, version, steps)


def _steps(given: dict[str, str]) -> Steps:
    """What comes before all of the traffic is shifted."""
    strategy = given.get("DeployStrategy") or "AllAtOnce"
    if not given.get("FunctionAlias") and (
        given.get("DeployStrategy") or given.get("PublishedTargetVersion")
    ):
        raise ActionFailed(
            "ConfigurationError",
            "DeployStrategy and PublishedTargetVersion are for functions with a FunctionAlias",
        )
    if strategy == "AllAtOnce":
        return []
    found = _CANARY.fullmatch(strategy) or _LINEAR.fullmatch(strategy)
    percent, minutes = (int(number) for number in found.groups()) if found else (0, 0)
    shares = [percent] if strategy.startswith("Canary") else range(percent, 100, percent or 1)
    steps = [(share, minutes) for share in shares]
    if not percent or not minutes or minutes * len(steps) > _MOST_MINUTES:
        raise ActionFailed(
            "ConfigurationError",
            f"DeployStrategy {strategy} is none of AllAtOnce, Canary10Percent5Minutes and "
            "Linear10PercentEvery1Minute, with other numbers, up to two days in all",
        )
    return steps


def _publish(action: Action) -> str:
    if not action.run.inputs:
        raise ActionFailed(
            "ConfigurationError", "PublishedTargetVersion is required without an input artifact"
        )
    name, api = action.configuration["FunctionName"], action.client("lambda")
    with action.open_input(action.run.inputs[0]) as file:
        api.update_function_code(FunctionName=name, ZipFile=file.read())
    return str(api.publish_version(FunctionName=name)["Version"])


def _shift(action: Action, alias: str, version: str, steps: Steps) -> None:
    place = {"FunctionName": action.configuration["FunctionName"], "Name": alias}
    api = action.client("lambda")
    before = api.get_alias(**place)["FunctionVersion"]

    def serve(main: str, others: dict[str, float]) -> None:
        api.update_alias(
            **place, FunctionVersion=main, RoutingConfig={"AdditionalVersionWeights": others}
        )

    try:
        _refuse_alarms(action)
        for percent, minutes in steps if before != version else []:
            serve(before, {version: percent / 100})
            action.run.summary = f"{percent} % of {alias} go to version {version}"
            action.changed()
            for _ in _until(action, 60.0 * minutes):
                _refuse_alarms(action)
            if action.run.status != "InProgress":
                return
    except ActionFailed:
        serve(before, {})
        raise
    serve(version, {})
    action.run.summary = f"{alias} is version {version}"


def _until(action: Action, seconds: float) -> Iterator[None]:
    """Again and again, until so many AWS seconds have passed or the action is over."""
    deadline = time.monotonic() + runtime.current().clock.wait_seconds(seconds)
    while action.run.status == "InProgress" and time.monotonic() < deadline:
        yield
        action.run.answered.wait(min(_LOOK_SECONDS, max(deadline - time.monotonic(), 0)))


def _refuse_alarms(action: Action) -> None:
    names = [name.strip() for name in (action.configuration.get("Alarms") or "").split(",")]
    names = [name for name in names if name]
    if len(names) > _MOST_ALARMS:
        raise ActionFailed("ConfigurationError", f"Alarms are up to {_MOST_ALARMS}: {len(names)}")
    if not names:
        return
    answer = action.client("cloudwatch").describe_alarms(
        AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    states: dict[str, Any] = {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in (*answer["MetricAlarms"], *answer["CompositeAlarms"])
    }
    for name in names:
        if name not in states:
            raise ActionFailed("ConfigurationError", f"The alarm {name} does not exist")
        if states[name] == "ALARM":
            raise ActionFailed("JobFailed", f"The alarm {name} is in state ALARM")
