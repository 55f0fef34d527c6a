"""The alarm of an exercise: off to begin with, and turned on and off as a drill."""

from __future__ import annotations

from typing import Literal

from labkit.lab import Lab


def prepare(lab: Lab, name: str, namespace: str) -> None:
    """Create an alarm on the errors of a namespace that nobody counts, and have it off."""
    lab.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace=namespace,
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
    )
    turn(lab, name, "OK")


def turn(lab: Lab, name: str, state: Literal["OK", "ALARM"]) -> None:
    """Have it be in this state until it is evaluated with data, which do not come."""
    lab.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue=state, StateReason="a fire drill"
    )
