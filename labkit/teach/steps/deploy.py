"""Lesson 5: what is wrong with an answer."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from labkit.lab import Lab
from labkit.provision.deploy import FLEET_TAG

_CONFIGURATION = "etc/labkit-sample.conf"


def launch_described(lab: Lab, launch: dict[str, Any], firewall: str) -> Iterator[str]:
    profile = launch.get("IamInstanceProfile", {})
    if not profile:
        yield "the instance would have no role, and its agent could not read the bucket: IamInstanceProfile"
    if lab.role("instance") not in (profile.get("Name"), profile.get("Arn", "").split("/")[-1]):
        yield f"the profile is {profile.get('Name')}; the hosts' own is {lab.role('instance')}"
    if launch.get("SecurityGroupIds") != [firewall]:
        yield "the instance is not behind the firewall: SecurityGroupIds, a list"
    if (launch.get("MinCount"), launch.get("MaxCount")) != (1, 1):
        yield "the loop runs them one by one, so that each gets a name: MinCount and MaxCount are 1"
    if not str(launch.get("ImageId", "")).startswith("ami-"):
        yield "ImageId is not the image whose id you have read from the parameter"
    if launch.get("MetadataOptions", {}).get("HttpTokens") != "required":
        yield "without a token any program could ask the host for its role's keys: HttpTokens, required"


def group_described(lab: Lab, group: dict[str, Any]) -> Iterator[str]:
    filters = group.get("ec2TagFilters", [])
    config = str(group.get("deploymentConfigName"))
    if not isinstance(filters, list) or not filters:
        yield "the group would find no hosts: ec2TagFilters is a list of filters"
    if (filters[0].get("Key"), filters[0].get("Value")) != (FLEET_TAG, lab.fleet):
        yield f"the hosts are tagged {FLEET_TAG}={lab.fleet}, and the filter asks for something else"
    if filters[0].get("Type") != "KEY_AND_VALUE":
        yield f"the filter takes every host with a tag {FLEET_TAG}, whatever its value: KEY_AND_VALUE"
    if group.get("serviceRoleArn") != lab.role_arn("codedeploy"):
        yield "CodeDeploy cannot act as that role. It has one of its own: lab.role_arn"
    if config.endswith("AllAtOnce"):
        yield "a bad release would stop the old one on every host at once. Take OneAtATime"
    if config != "CodeDeployDefault.OneAtATime":
        yield f"the group should go host by host, and this configuration is {config}"


def deployed(lab: Lab, first: str, key: str) -> Iterator[str]:
    if not isinstance(first, str):
        yield "deploy_zip has to return the deployment's id, a text"
    info = lab.client("codedeploy").get_deployment(deploymentId=first)["deploymentInfo"]
    place = info["revision"].get("s3Location", {})
    if (place.get("bucket"), place.get("key")) != (lab.bucket, key):
        yield f"it deploys {place.get('key')}, and what you have built is {key}"
    if info["deploymentGroupName"] != lab.fleet:
        yield f"it goes to {info['deploymentGroupName']}, not to {lab.fleet}"


def hook_written(wish: str) -> Iterator[str]:
    without, with_file = _hook(wish, there=False), _hook(wish, there=True)
    if "syntax error" in without.stderr:
        yield f"bash does not understand it: {without.stderr.strip().splitlines()[-1]}"
    if without.returncode == 0:
        yield "where the file is missing it succeeds. A hook fails by its exit status: exit 1"
    if with_file.returncode != 0:
        yield f"where the file is there it fails too, with status {with_file.returncode}"
    if f"/{_CONFIGURATION} is missing" not in without.stdout + without.stderr:
        yield f"it fails without a word. Say what is wrong: /{_CONFIGURATION} is missing"


def _hook(text: str, *, there: bool) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        if there:
            (root / _CONFIGURATION).parent.mkdir()
            (root / _CONFIGURATION).touch()
        return subprocess.run(
            ["bash", "-c", text],
            env={"HOST_ROOT": directory},
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=10,
        )


def the_other_host(info: dict[str, Any]) -> str:
    return "nothing" if info["deploymentOverview"]["Skipped"] else "the same failure"


def failed_event(bad: pd.Series[Any], second: str, events: pd.DataFrame) -> Iterator[str]:
    if not isinstance(bad, pd.Series):
        yield f"bad is a {type(bad).__name__}; take one row, with .iloc[0]"
    if bad["status"] != "Failed":
        yield f"{bad['event']} is {bad['status']}. You want the first that failed"
    if bad["instance"] not in set(events["instance"]):
        yield "that event is of another deployment"


def who_answers(answers: dict[str, str]) -> str:
    well = sum(not error for error in answers.values())
    return ("none", "one of two", "both")[well]


def good_again(lab: Lab, third: str, key: str, second: str) -> Iterator[str]:
    if third == second:
        yield "third is the deployment that failed. Make a new one"
    info = lab.client("codedeploy").get_deployment(deploymentId=third)["deploymentInfo"]
    if info["revision"]["s3Location"]["key"] != key:
        yield f"it deploys {info['revision']['s3Location']['key']} again. The good zip has the key {key}"


def goes_back(lab: Lab) -> Iterator[str]:
    group = lab.client("codedeploy").get_deployment_group(
        applicationName=lab.application, deploymentGroupName=lab.fleet
    )["deploymentGroupInfo"]
    settings = group.get("autoRollbackConfiguration", {})
    if not settings.get("enabled"):
        yield "the group does not go back by itself: autoRollbackConfiguration, enabled"
    if "DEPLOYMENT_FAILURE" not in settings.get("events", []):
        yield f"it goes back after {settings.get('events')}, and not after a failure: DEPLOYMENT_FAILURE"
