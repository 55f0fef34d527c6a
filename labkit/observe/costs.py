"""What the lab's work would have cost on AWS: counted from the history, priced by `prices.toml`.

Rounding is where the money is: CodePipeline bills every action, and CodeBuild every build, by the
minute begun. AWS pages: "AWS CodePipeline pricing"; "AWS CodeBuild pricing"; "Amazon EC2 On-Demand
Pricing".
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from labkit import colours
from labkit.lab import Lab
from labkit.observe.builds import all_builds
from labkit.observe.charts import Chart, Row, Segment, bars, empty
from labkit.observe.deployments import all_deployments
from labkit.observe.executions import action_runs

HOURS_A_MONTH = 730
MINIMUM_INSTANCE_SECONDS = 60
FREE_OF_CHARGE = ("Approval",)  # custom actions, too; the lab has none
GB = 10**9

Usage = Mapping[str, float]


@cache
def prices() -> pd.DataFrame:
    """The price table: id, service, item, unit, usd, free (a month), source, date, confidence."""
    table = tomllib.loads(files("labkit.observe").joinpath("prices.toml").read_text())
    return pd.DataFrame(table["price"]).fillna({"free": 0}).set_index("id")


def costs(lab: Lab) -> pd.DataFrame:
    """What everything that this lab's history shows would have cost, a row for each item billed."""
    return estimate(usage(lab))


def estimate(used: Usage) -> pd.DataFrame:
    """Price a usage.

    Args:
        used: a quantity for each price id.

    Returns:
        A row for each: service, item, quantity, unit, usd_each, cost (USD), free (what of the cost
        the month's free tier covers, if nothing else uses it), to_pay, source, date, confidence.

    Raises:
        KeyError: the table has no such price.
    """
    rows = []
    for name, quantity in used.items():
        price = prices().loc[name]
        covered = min(quantity, price["free"])
        rows.append(
            {
                "service": price["service"],
                "item": price["item"],
                "quantity": quantity,
                "unit": price["unit"],
                "usd_each": price["usd"],
                "cost": quantity * price["usd"],
                "free": covered * price["usd"],
                "to_pay": (quantity - covered) * price["usd"],
                "source": price["source"],
                "date": price["date"],
                "confidence": price["confidence"],
            }
        )
    return pd.DataFrame(rows)


def usage(lab: Lab) -> dict[str, float]:
    """What this lab's history shows, as a quantity for each price id."""
    used = {
        "codepipeline.action_minute": action_minutes(_runs(lab)),
        **build_minutes(all_builds(lab)),
        "codedeploy.ec2": float(len(all_deployments(lab))),
        **instance_hours(_instances(lab)),
        **_stored(lab),
    }
    return {name: quantity for name, quantity in used.items() if quantity}


def action_minutes(runs: list[dict[str, Any]]) -> float:
    """CodePipeline's billable minutes: every action run that is over, rounded up on its own."""
    return float(
        sum(
            minutes_begun((run["lastUpdateTime"] - run["startTime"]).total_seconds())
            for run in runs
            if run["status"] != "InProgress"
            and run["input"]["actionTypeId"]["category"] not in FREE_OF_CHARGE
        )
    )


def build_minutes(builds: list[dict[str, Any]]) -> dict[str, float]:
    """CodeBuild's billable minutes by compute type: every build, failed ones too, rounded up."""
    minutes: dict[str, float] = {}
    for build in builds:
        if build["buildComplete"]:
            key = f"codebuild.{build['environment']['computeType']}"
            seconds = (build["endTime"] - build["startTime"]).total_seconds()
            minutes[key] = minutes.get(key, 0.0) + minutes_begun(seconds)
    return minutes


def instance_hours(instances: list[dict[str, Any]]) -> dict[str, float]:
    """EC2's billable hours by instance type, by the second, a minute at least; and the addresses'."""
    hours: dict[str, float] = {}
    for instance in instances:
        seconds = (_ended(instance) - instance["LaunchTime"]).total_seconds()
        running = max(seconds, MINIMUM_INSTANCE_SECONDS) / 3600
        for key in (f"ec2.{instance['InstanceType']}", "ec2.public_ipv4"):
            hours[key] = hours.get(key, 0.0) + running
    return hours


def minutes_begun(seconds: float) -> int:
    """A duration in the minutes that are billed for it."""
    return max(1, math.ceil(seconds / 60))


def chart_costs(table: pd.DataFrame) -> Chart:
    """What it would have cost: a bar for each item, what the free tier covers set apart.

    Args:
        table: what `costs` or `estimate` returned.
    """
    title = "What the same work would have cost on AWS"
    billed = table[table["cost"] > 0] if len(table) else table
    if billed.empty:
        return empty(title, "nothing has been used yet")
    rows = [
        Row(
            _row_name(item),
            _dollars(item.cost),
            segments=[
                Segment(item.to_pay, colours.of_kind(0), "to pay"),
                Segment(item.free, colours.of_kind(1), "covered by the monthly free tier"),
            ],
        )
        for item in billed.itertuples()
    ]
    total, to_pay = billed["cost"].sum(), billed["to_pay"].sum()
    largest = billed.loc[billed["cost"].idxmax()]
    said = (
        f"${total:.4f} in all, ${to_pay:.4f} after the monthly free tier; "
        f"the largest item is {largest['service']} with ${largest['cost']:.4f}."
    )
    return bars(title, "US dollars", rows, f"{title}: {said}")


def _row_name(item: Any) -> str:
    what = item.item.split(",")[0].removesuffix(" Linux on demand")
    return f"{item.service}: {what}\n{_amount(item.quantity, item.unit)}"


def _amount(quantity: float, unit: str) -> str:
    if "GB" in unit and quantity < 0.1:
        return _amount(quantity * 1000, unit.replace("GB", "MB"))
    number = f"{quantity:.0f}" if quantity >= 10 else f"{quantity:.2g}"
    return f"{number} {unit}" if quantity == 1 or "B" in unit else f"{number} {unit}s"


def _dollars(amount: float) -> str:
    return f"${amount:.4f}" if amount >= 0.0001 else "less than $0.0001"


def _runs(lab: Lab) -> list[dict[str, Any]]:
    try:
        return action_runs(lab)
    except lab.client("codepipeline").exceptions.PipelineNotFoundException:
        return []


def _instances(lab: Lab) -> list[dict[str, Any]]:
    """Every instance of the lab, those terminated a short while ago among them."""
    wanted = [{"Name": f"tag:{key}", "Values": [value]} for key, value in lab.tags.items()]
    pages = lab.client("ec2").get_paginator("describe_instances").paginate(Filters=wanted)
    return [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def _ended(instance: dict[str, Any]) -> datetime:
    """When an instance stopped costing: EC2 says it in a sentence, "... (2026-01-31 12:00:00 GMT)"."""
    said = re.search(r"\((\d[\d-]+ [\d:]+)", instance.get("StateTransitionReason", ""))
    if instance["State"]["Name"] in ("pending", "running") or said is None:
        return datetime.now(UTC)
    return datetime.strptime(said[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def _stored(lab: Lab) -> dict[str, float]:
    """The artifacts and logs as they lie there now: a month of storage, a write each."""
    s3, logs = lab.client("s3"), lab.client("logs")
    versions: list[dict[str, Any]] = []
    if lab.bucket in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=lab.bucket)
        versions = [version for page in pages for version in page.get("Versions", [])]
    groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/codebuild/{lab.project}")
    return {
        "s3.storage": sum(version["Size"] for version in versions) / GB,
        "s3.put": float(len(versions)),
        "logs.ingestion": sum(group.get("storedBytes", 0) for group in groups["logGroups"]) / GB,
    }
