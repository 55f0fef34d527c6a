"""Who did what, and what a role was granted and used: CloudTrail and IAM, read back.

`who` answers from the event history, which has 90 days of management events (on AWS an event takes up to
15 minutes to be there). What is a data event, S3's objects above all, is in the files of a trail alone that
was told to have them; `used` reads those when it is given the trail.

AWS pages: "Working with CloudTrail event history"; "CloudTrail record contents"; "CloudTrail userIdentity
element"; "Getting and viewing your CloudTrail log files".
"""

from __future__ import annotations

import gzip
import json
import re
import time
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from labkit import colours
from labkit.lab import Lab
from labkit.observe.charts import Chart, Row, Segment, bars, empty
from labkit.observe.waiting import poll_seconds
from labkit.watched import GaveUp, waiting

USED, REFUSED, NEVER, UNSEEN = "used", "refused", "never used", "leaves no event"
_STATES = [USED, REFUSED, NEVER, UNSEEN]
_LONGEST_SESSION = timedelta(hours=12)
_VERSION = re.compile(r"\d{8}(v\d)?$")  # of Lambda's events: CreateFunction20150331
_COLUMNS = ["time", "who", "role", "through", "event", "on", "said", "error"]
Record = dict[str, Any]
Statement = dict[str, Any]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("labkit.observe").joinpath("audit.toml").read_text())


def questions() -> list[str]:
    """What `who` can be asked."""
    return list(_table()["questions"])


def who(
    lab: Lab, did: str, since: datetime | None = None, until: datetime | None = None
) -> pd.DataFrame:
    """Who did it: `who(lab, "approved")`, of what this lab's name is in, the oldest first.

    Args:
        did: one of `questions()`, or the name of an event.

    Returns:
        A row for each event: time (UTC), who (the user, or the session of a role), role (whose session
        it is), through (the AWS service that asked, if one did), event, on (the resource), said (what was
        asked, in short), error.
    """
    names = _table()["questions"].get(did, [did])
    found = [
        record
        for name in names
        for record in reversed(events(lab, since=since, until=until, EventName=name))
        if _is_about(record, lab.name)
    ]
    found.sort(key=lambda record: record["eventTime"])
    return pd.DataFrame([_row(record) for record in found], columns=_COLUMNS)


def events(
    lab: Lab, since: datetime | None = None, until: datetime | None = None, **attribute: str
) -> list[Record]:
    """The records of the event history, the newest first.

    Args:
        attribute: one of LookupEvents' attributes at most: `Username="learner"`.

    Raises:
        botocore.exceptions.ClientError: `InvalidLookupAttributesException`, of several attributes.
    """
    wanted = [{"AttributeKey": key, "AttributeValue": value} for key, value in attribute.items()]
    # events have whole seconds: one of this very second would be before it
    times = {"StartTime": since and since.replace(microsecond=0), "EndTime": until}
    pages = (
        lab.client("cloudtrail")
        .get_paginator("lookup_events")
        .paginate(
            LookupAttributes=wanted,
            **{name: time for name, time in times.items() if time is not None},
        )
    )
    return [json.loads(event["CloudTrailEvent"]) for page in pages for event in page["Events"]]


def delivered(lab: Lab, trail: str, since: datetime | None = None) -> list[Record]:
    """The records of the log files that a trail has delivered to its bucket, the oldest first.

    Args:
        since: leaves out what happened before; files of earlier days are not read at all.
    """
    known = lab.client("cloudtrail").get_trail(Name=trail)["Trail"]
    bucket, prefix = known["S3BucketName"], known.get("S3KeyPrefix")
    account = known["TrailARN"].split(":")[4]
    below = "/".join([*([prefix] if prefix else []), "AWSLogs", account, "CloudTrail", ""])
    s3, records = lab.client("s3"), []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below):
        for item in page.get("Contents", []):
            day = "".join(item["Key"].split("/")[-4:-1])
            if item["Size"] and (since is None or day >= since.strftime("%Y%m%d")):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                records += json.loads(gzip.decompress(body))["Records"]
    first = since.strftime("%Y-%m-%dT%H:%M:%SZ") if since else ""
    return sorted(
        (record for record in records if record["eventTime"] >= first),
        key=lambda record: str(record["eventTime"]),
    )


def wait_for_delivery(lab: Lab, trail: str, timeout: float = 1800.0) -> None:
    """Wait until a trail has delivered what happened before this call, or before its logging was stopped.

    AWS delivers within about 15 minutes; the lab in 5 s, and at once when logging is stopped.

    Raises:
        TimeoutError: it has not in time (seconds).
    """
    cloudtrail = lab.client("cloudtrail")
    asked, deadline = datetime.now(UTC).replace(microsecond=0), time.monotonic() + timeout
    with waiting(f"the trail {trail} to deliver its files", timeout) as wait:
        while True:
            status = cloudtrail.get_trail_status(Name=trail)
            since = asked if status["IsLogging"] else status["StopLoggingTime"]
            if "LatestDeliveryTime" in status and status["LatestDeliveryTime"] >= since:
                return
            wait.state = status.get("LatestDeliveryError") or "nothing yet"
            if time.monotonic() > deadline:
                raise GaveUp(
                    f"The trail {trail} has not delivered after {timeout:.0f} s: {wait.state}. "
                    "Look at the policy of its bucket, and run the cell that makes the trail again."
                )
            time.sleep(poll_seconds(lab))


def granted(lab: Lab, role: str) -> pd.DataFrame:
    """What the policies of a role allow it, inline and attached.

    Args:
        role: its name.

    Returns:
        A row for each action of each statement: action, resources, condition, policy.
    """
    rows = [
        {
            "action": action,
            "resources": ", ".join(_listed(statement.get("Resource", []))),
            "condition": json.dumps(statement["Condition"]) if "Condition" in statement else "",
            "policy": policy,
        }
        for policy, statement in _statements(lab, role)
        if statement["Effect"] == "Allow"
        for action in _listed(statement.get("Action", []))
    ]
    return pd.DataFrame(rows, columns=["action", "resources", "condition", "policy"])


def used(
    lab: Lab, role: str, since: datetime | None = None, trail: str | None = None
) -> pd.DataFrame:
    """What a role has asked for: a row for each action, by what CloudTrail has of its sessions.

    Args:
        role: its name.
        trail: read the files of this trail instead of the event history: they may have data events.

    Returns:
        action, calls, refused (how many of them), last (UTC).
    """
    arn = lab.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    records = delivered(lab, trail, since) if trail else _of_sessions(lab, arn, since)
    rows = [
        {
            "action": action,
            "refused": _is_denial(record),
            "last": pd.Timestamp(record["eventTime"]),
        }
        for record in records
        if _issuer(record).get("arn") == arn
        for action in actions(record)
    ]
    columns = ["action", "calls", "refused", "last"]
    if not rows:
        return pd.DataFrame(columns=columns)
    frame = pd.DataFrame(rows).groupby("action", as_index=False)
    return frame.agg(calls=("refused", "size"), refused=("refused", "sum"), last=("last", "max"))


def use(
    lab: Lab, role: str, since: datetime | None = None, trail: str | None = None
) -> pd.DataFrame:
    """What a role was granted against what it used.

    Returns:
        A row for each action that it was granted, or was refused: action, granted, calls, refused, last,
        state: `used`, `refused` (and not granted), `never used`, or `leaves no event` (CloudTrail cannot tell:
        the action has no event, or is a data event and no trail with them was given).
    """
    asked = used(lab, role, since, trail).set_index("action")
    allowed = list(dict.fromkeys(granted(lab, role)["action"]))
    unseen = set(_table()["unseen"]["never"]) | (
        set() if trail else set(_table()["unseen"]["data"])
    )
    rows = []
    for action in dict.fromkeys([*allowed, *asked.index]):
        matching = asked.loc[[one for one in asked.index if _matches(one, action)]]
        is_granted = any(_matches(action, one) for one in allowed)
        if action not in allowed and is_granted:
            continue  # a pattern has it
        calls, refused = int(matching["calls"].sum()), int(matching["refused"].sum())
        if not is_granted:
            state = REFUSED
        elif calls:
            state = USED
        else:
            state = UNSEEN if action in unseen else NEVER
        last = matching["last"].max() if calls else pd.NaT
        rows.append((action, is_granted, calls, refused, last, state))
    frame = pd.DataFrame(rows, columns=["action", "granted", "calls", "refused", "last", "state"])
    order = frame["state"].map(_STATES.index)
    return frame.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def trimmed(statements: Iterable[Statement], keep: Iterable[str]) -> list[Statement]:
    """The statements with these of their actions alone; a statement that has none left goes."""
    wanted = set(keep)
    kept = [
        {**one, "Action": [action for action in _listed(one["Action"]) if action in wanted]}
        for one in statements
    ]
    return [one for one in kept if one["Action"]]


def chart_use(frame: pd.DataFrame, title: str = "What the role was granted, and used") -> Chart:
    """How often each action was asked for: a bar for each, and in words what was never used.

    Args:
        frame: what `use` returned.
    """
    if frame.empty:
        return empty(title, "the role was granted nothing, and asked for nothing")
    rows = [
        Row(
            one.action,
            str(one.calls) if one.calls else one.state,
            segments=[
                Segment(one.calls - one.refused, colours.of_state(USED), USED),
                Segment(one.refused, colours.of_state(REFUSED), REFUSED),
            ],
        )
        for one in frame.itertuples()
    ]
    unit = "requests that CloudTrail has of the role's sessions"
    counts = frame["state"].value_counts()
    summary = ", ".join(f"{counts[state]} {state}" for state in _STATES if state in counts)
    unused = frame[frame["state"] == NEVER]["action"]
    never = f" Never used: {', '.join(unused)}." if len(unused) else ""
    return bars(title, unit, rows, f"{title}: of {len(frame)} actions {summary}.{never}")


def actions(record: Record) -> list[str]:
    """The IAM actions that an event is of."""
    source = str(record["eventSource"]).partition(".")[0]
    prefix = _table()["prefixes"].get(source, source)
    name = record["eventName"]
    name = _VERSION.sub("", name) if prefix == "lambda" else name
    parameters = record.get("requestParameters") or {}
    if (prefix, name) == ("s3", "GetObject") and "versionId" in parameters:
        name = "GetObjectVersion"
    named: list[str] = _table()["actions"].get(f"{prefix}:{name}", [f"{prefix}:{name}"])
    return named


def _of_sessions(lab: Lab, role_arn: str, since: datetime | None) -> Iterator[Record]:
    """What the sessions of a role did: by their keys, which the events have that began them."""
    earlier = since - _LONGEST_SESSION if since else None
    for begun in events(lab, since=earlier, ResourceName=role_arn):
        keys = ((begun.get("responseElements") or {}).get("credentials") or {}).get("accessKeyId")
        if keys:
            yield from events(lab, since=since, AccessKeyId=keys)


def _statements(lab: Lab, role: str) -> Iterator[tuple[str, Statement]]:
    iam = lab.client("iam")
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            yield from ((name, one) for one in _listed(document["Statement"]))
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for attached in page["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            known = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
            statements = _listed(known["Document"]["Statement"])
            yield from ((attached["PolicyName"], one) for one in statements)


def _row(record: Record) -> dict[str, Any]:
    identity = record["userIdentity"]
    return {
        "time": pd.Timestamp(record["eventTime"]),
        "who": _name(identity),
        "role": _issuer(record).get("userName", ""),
        "through": identity.get("invokedBy", ""),
        "event": record["eventName"],
        "on": _on(record),
        "said": _said(record),
        "error": record.get("errorCode", ""),
    }


def _name(identity: dict[str, Any]) -> str:
    if identity["type"] == "IAMUser":
        return str(identity["userName"])
    return str(identity.get("arn", identity.get("invokedBy", ""))).rpartition("/")[2]


def _said(record: Record) -> str:
    """What tells one event of a kind from another: a decision and its reason, a policy, a session, a commit."""
    given = record.get("requestParameters") or {}
    result = given.get("result")
    if isinstance(result, dict):
        return f"{result.get('status')}: {result.get('summary')}"
    told = (
        "policyName",
        "policyArn",
        "roleSessionName",
        "revision",
        "sourceVersion",
        "pipelineExecutionId",
    )
    return ", ".join(str(given[name]) for name in told if isinstance(given.get(name), str))


def _is_about(record: Record, name: str) -> bool:
    """Whether a thing of that name is spoken of: what was asked, and the resources of it."""
    told = [record.get(part) for part in ("requestParameters", "additionalEventData", "resources")]
    return re.search(rf"\b{re.escape(name)}\b", json.dumps(told)) is not None


def _is_denial(record: Record) -> bool:
    return "not authorized" in record.get("errorMessage", "")


def _issuer(record: Record) -> dict[str, Any]:
    context = record["userIdentity"].get("sessionContext", {})
    issuer: dict[str, Any] = context.get("sessionIssuer", {})
    return issuer


def _on(record: Record) -> str:
    """The resources that the record names; where it has none, what the parameters call by its name."""
    named = [one["ARN"].split(":", 5)[5] for one in record.get("resources", ()) if "ARN" in one]
    given = record.get("requestParameters") or {}
    names = [str(value) for key, value in given.items() if key.endswith("Name")]
    return ", ".join(named or names)


def _matches(action: str, pattern: str) -> bool:
    return fnmatchcase(action.lower(), pattern.lower())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
