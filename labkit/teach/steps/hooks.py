"""Lesson 11: what is wrong with an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from labkit.lab import Lab

_STOPPED = re.compile(r"ApplicationStop, a script of version (\S+)")


def whose_stop(diary: Callable[[], list[str]]) -> str:
    """The version whose ApplicationStop ran last."""
    found = [match[1] for line in diary() if (match := _STOPPED.search(line))]
    return found[-1]


def own_configurations(own: dict[str, tuple[str, int]]) -> Iterator[str]:
    wanted = {"Percent60": ("FLEET_PERCENT", 60), "Count1": ("HOST_COUNT", 1)}
    for name, (kind, value) in wanted.items():
        if name not in own:
            yield f"there is no {name} among {', '.join(own)}"
        if own[name][0] != kind:
            yield f"{name} is counted in {own[name][0]}; it should be {kind}"
        if own[name][1] != value:
            yield f"{name} keeps {own[name][1]} hosts or per cent healthy; it should be {value}"


def hosts_hit(reach: pd.DataFrame) -> str:
    return str(int(reach.loc["OneAtATime", "hosts hit"]))


def nonsense_deployed(done: dict[str, Any]) -> str:
    return str(done["status"])


def validation_written(look: str) -> Iterator[str]:
    if "curl" not in look:
        yield 'it does not ask the site: begin with WORK["ValidateService"]'
    if "|| true" in look:
        yield "it can never fail, and a check that cannot fail is not a check"
    if "grep" not in look and "[[" not in look and "test " not in look:
        yield "it asks whether the site answers, but not what: look for a text in the answer, with grep -q"
    if "$here/version" not in look:
        yield 'a page of an older version would pass: the answer has to name this version, $(cat "$here/version")'
    if "ApplicationStart" not in look:
        yield "look for the line that ApplicationStart has written; it is the last one before the site is asked"


def way_out(lab: Lab, done: dict[str, Any]) -> Iterator[str]:
    info = lab.client("codedeploy").get_deployment(deploymentId=done["deploymentId"])
    if not info["deploymentInfo"].get("ignoreApplicationStopFailures"):
        yield f"it is {done['status']}, and ran version 10's ApplicationStop like the one before. Which parameter lets that fail?"
    if done["revision"]["s3Location"]["key"] != "site/11.zip":
        yield "version 11 is the one that cannot get onto the hosts: deploy that"
    if done["status"] != "Succeeded":
        yield f"it is {done['status']}. Look at its events"
