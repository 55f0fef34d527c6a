"""Lesson 17: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab


def statement_written(lab: Lab, may: dict[str, Any]) -> Iterator[str]:
    if may.get("Effect") != "Allow":
        yield "it has to allow something"
    actions = set(may["Action"])
    if any("*" in one for one in actions):
        yield f"{', '.join(sorted(actions))} is more than the agent needs: it reads objects and their versions"
    missing = {"s3:GetObject", "s3:GetObjectVersion"} - actions
    if missing:
        yield f"the agent asks for {' and '.join(sorted(missing))} too"
    if actions - {"s3:GetObject", "s3:GetObjectVersion"}:
        yield "whoever has the machine has its key: allow the two actions alone"
    if may["Resource"] == [f"arn:aws:s3:::{lab.bucket}"]:
        yield "this is the bucket; its objects are below it, /*"
    if may["Resource"] != [f"arn:aws:s3:::{lab.bucket}/*"]:
        yield f"the resource is what lies in our bucket, arn:aws:s3:::{lab.bucket}/*"


def filters_written(lab: Lab, bench: dict[str, str], where: dict[str, Any]) -> Iterator[str]:
    if "onPremisesInstanceTagFilters" not in where:
        yield "EC2's tags say nothing of registered machines: onPremisesInstanceTagFilters"
    if "ec2TagFilters" not in where:
        yield "the instance would be left out: ec2TagFilters"
    for key, tag in (
        ("ec2TagFilters", {"Key": "fleet", "Value": lab.fleet}),
        ("onPremisesInstanceTagFilters", bench),
    ):
        [one] = where[key]
        if one.get("Type") != "KEY_AND_VALUE":
            yield f"{key}: {one.get('Type')} would find others as well; compare key and value"
        if {name: one.get(name) for name in tag} != tag:
            yield f"{key} looks for {one.get('Key')}={one.get('Value')}, not {tag['Key']}={tag['Value']}"


def where_it_failed(failed_in: str) -> str:
    return failed_in


def scaling_written(name: str, scaled: dict[str, Any]) -> Iterator[str]:
    if "ec2TagFilters" in scaled:
        yield "with tags, a launched instance would get nothing before somebody deploys"
    if scaled.get("autoScalingGroups") != [name]:
        yield f"autoScalingGroups is a list with one name, {name}"
    if scaled.get("outdatedInstancesStrategy") == "IGNORE":
        yield "IGNORE leaves the old release on what was launched during a deployment"
    if scaled.get("outdatedInstancesStrategy") != "UPDATE":
        yield "say what becomes of what is launched during a deployment: outdatedInstancesStrategy"


def on_the_new_one(creators: list[str]) -> str:
    return "the last release" if "autoscaling" in creators else "nothing"


def in_mid_deployment(later: list[str]) -> str:
    if "CodeDeployAutoUpdate" not in later:
        return "the old one"
    return "the old one, then the new one" if later.count("autoscaling") == 2 else "the new one"
