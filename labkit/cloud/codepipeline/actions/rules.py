"""The rules of conditions that are checks: an alarm's state, the time of day, a variable's value.

A rule that is not met fails with JobFailed. AWS pages: "Rule structure reference";
"CloudWatchAlarm", "DeploymentWindow" and "VariableCheck" there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from labkit.cloud.codepipeline.action import Action, ActionFailed
from labkit.cloud.codepipeline.actions.windows import Window
from labkit.cloud.shared import runtime

_DEFAULT_MINUTES = 7 * 24 * 60  # AWS names no default for rules that wait; approvals have this one
_LOOK_SECONDS = 0.2


def cloudwatch_alarm(action: Action) -> None:
    """Met when the alarm is in none of AlarmStates (ALARM, where none are named).

    With a WaitTime an entry condition waits that long for the alarm to calm down; the other
    conditions watch it that long. The page leaves open which of both it means.
    """
    name = action.configuration["AlarmName"]
    states = action.configuration.get("AlarmStates") or "ALARM"
    bad = {state.strip() for state in states.split(",")}
    minutes = _minutes(action.configuration.get("WaitTime") or "0")
    calms_down = action.declaration["conditionKind"] == "beforeEntry"
    deadline = time.monotonic() + runtime.current().clock.wait_seconds(60 * minutes)
    while True:
        alarms = action.client("cloudwatch").describe_alarms(
            AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        found = [*alarms["MetricAlarms"], *alarms["CompositeAlarms"]]
        if not found:
            raise ActionFailed("ConfigurationError", f"The alarm {name} does not exist")
        state = found[0]["StateValue"]
        action.run.summary = f"Alarm {name} is in state {state}"
        quiet = state not in bad
        if quiet and (calms_down or time.monotonic() >= deadline):
            return
        if not quiet and (not calms_down or time.monotonic() >= deadline):
            raise ActionFailed("JobFailed", f"The alarm {name} is in state {state}")
        if action.run.status != "InProgress":
            return
        time.sleep(_LOOK_SECONDS)


def _minutes(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ActionFailed("ConfigurationError", f"WaitTime is not a number: {text}") from None


def deployment_window(action: Action) -> None:
    """Met as soon as the window is open; waits for it, up to the rule's time-out."""
    try:
        window = Window.of(
            action.configuration["Cron"], action.configuration.get("TimeZone") or "UTC"
        )
    except ValueError as error:
        raise ActionFailed("ConfigurationError", str(error)) from error
    now = datetime.now(UTC)
    opens = window.opens(now)
    limit = timedelta(minutes=action.declaration.get("timeoutInMinutes") or _DEFAULT_MINUTES)
    clock = runtime.current().clock
    if opens is not None and opens <= now:
        action.run.summary = "The deployment window is open"
        return
    ends = now + limit if opens is None else min(opens, now + limit)
    seconds = (ends - now).total_seconds()
    told = "never opens" if opens is None else f"opens {opens:%Y-%m-%dT%H:%M:%SZ}"
    then = ", in" if opens == ends else "; the rule gives up in"
    wait = clock.describe(round(seconds))
    action.run.summary = f"The deployment window {told}{then} {wait}"
    action.changed()
    # an override or an abandoned execution ends the wait
    action.run.answered.wait(clock.wait_seconds(seconds))
    if opens is None or opens > ends:
        raise ActionFailed("JobFailed", f"The deployment window {told}; the rule has timed out")


def variable_check(action: Action) -> None:
    """Met when the variable's value compares to Value as Operator says."""
    given = action.configuration
    value, wanted, operator = given["Variable"], given["Value"], given["Operator"]
    try:
        met = _OPERATORS[operator](value, wanted)
    except re.error as error:
        raise ActionFailed(
            "ConfigurationError", f"Value is not a regular expression: {wanted} ({error})"
        ) from error
    action.run.summary = f"{value!r} {operator} {wanted!r} is {str(met).lower()}"
    if not met:
        raise ActionFailed("JobFailed", f"The variable check failed: {value} {operator} {wanted}")


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "EQ": lambda value, wanted: value == wanted,
    "NE": lambda value, wanted: value != wanted,
    "CONTAINS": lambda value, wanted: wanted in value,
    "MATCHES": lambda value, wanted: re.fullmatch(wanted, value) is not None,
}
