"""What kind of event an operation is: its name, whether it only reads, whether it is a data event."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from labkit.cloud.iam import state
from labkit.cloud.iam.asked import reference, rows

_READS = ("Get", "List", "Describe", "BatchGet", "Head", "Lookup", "Validate", "Test", "Search")


@cache
def table(part: str) -> dict[str, Any]:
    """A part of `events.toml`."""
    whole = tomllib.loads(Path(__file__).with_name("events.toml").read_text(encoding="utf-8"))
    return dict(whole[part])


def name(service: str, operation: str) -> str:
    """CloudTrail's name of the event of an operation."""
    return str(table("names").get(service, {}).get(operation, operation))


@lru_cache(maxsize=4096)
def data_type(service: str, operation: str) -> str | None:
    """The type of resource that selects a data event; empty if nothing does; None of a management event."""
    kinds: dict[str, list[str]] = table("data").get(service, {})
    return next((kind for kind, operations in kinds.items() if operation in operations), None)


@lru_cache(maxsize=4096)
def is_read_only(service: str, operation: str) -> bool:
    """Whether an operation changes nothing, as the access levels of its actions say.

    AWS page: "Understanding access level summaries within policy summaries".
    """
    if operation in table("read_only").get(service, ()):
        return True
    if not operation.isalnum():  # it is none: `POST /`
        return False
    themselves, _ = rows.of(service).rows(operation)
    actions = [row.action for row in themselves]
    # what is asked of another service beside it, such as kms:Decrypt, is not what was called
    own = [one for one in actions if one.partition(":")[0] == actions[0].partition(":")[0]]
    levels = {reference.access_level(action) for action in own}
    if levels and None not in levels:
        return levels <= {"List", "Read"}
    return operation.startswith(_READS)


def is_answered(service: str, operation: str) -> bool:
    """Whether a record says what was answered."""
    answered = table("answered").get(service, ())
    return operation in answered or not is_read_only(service, operation)


@lru_cache(maxsize=4096)
def resource_type(arn: str) -> str | None:
    """The type of what an ARN names: `AWS::IAM::Role`; None where CloudTrail would say none."""
    found = state.parsed(arn)
    if found is None:
        return None
    where = f"{found.service}:{found.resource}"
    return next((kind for like, kind in table("types").items() if fnmatchcase(where, like)), None)


def resource_name(arn: str) -> str:
    """What an ARN's resource is called there: of a stage or an action the pipeline, of a log stream its group."""
    found = state.parsed(arn)
    if found is None:
        return arn
    if found.service == "codepipeline":
        return found.kind
    if found.service == "logs":
        return found.resource.split(":")[1]
    if found.service == "s3":
        return found.resource if "/" not in found.resource else found.rest
    if found.service in ("codedeploy", "lambda"):
        return found.resource.split(":")[1].rpartition("/")[2]
    return found.resource.rpartition("/")[2].rpartition(":")[2]


def data_type_of(record: Mapping[str, Any]) -> str | None:
    """`data_type` of what a record tells of."""
    if record["managementEvent"]:
        return None
    source = str(record["eventSource"]).partition(".")[0]
    return data_type({"monitoring": "cloudwatch"}.get(source, source), record["eventName"])
