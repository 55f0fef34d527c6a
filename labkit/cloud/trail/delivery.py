"""Delivers a trail's events: to its bucket, with digests, and to its log group.

CloudTrail writes to the bucket itself, so the bucket's policy has to let it; to the log group it writes as
the role that it was given. AWS delivers log files about every 5 minutes and digests every hour, the lab on its
scaled clock, and both at once when logging is stopped.

AWS pages: "Amazon S3 bucket policy for CloudTrail"; "CloudTrail log file examples", file names; "Sending events
to CloudWatch Logs".
"""

from __future__ import annotations

import contextlib
import gzip
import json
import secrets
import string
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from labkit.cloud.shared import clients, runtime, threads
from labkit.cloud.shared.service import AWSError
from labkit.cloud.trail import digests, journal
from labkit.cloud.trail.models import Chain, Trail, all_trails
from labkit.cloud.trail.selectors import SERVICE, selects

LOG_SECONDS, DIGEST_SECONDS = 300, 3600  # of AWS
_FULL_CONTROL = "bucket-owner-full-control"
_MOST_EVENTS, _MOST_BYTES, _EVENT_BYTES = 10_000, 1_000_000, 26  # of one PutLogEvents
_ALPHABET = string.ascii_letters + string.digits
_ENDS = ("StopLogging", "DeleteTrail")
Records = dict[str, list[dict[str, Any]]]  # by Region


class Deliveries:
    """The thread that delivers: it waits until there is a trail that logs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ending: list[Trail] = []  # what ends them has no record yet
        self._closing: list[Trail] = []
        self._begun = False

    def begin(self) -> None:
        """Look after the trails from now on: called when one starts to log."""
        with self._changed:
            if not self._begun:
                self._begun = True
                journal.listeners.append(self._hear)
                threads.repeat(self._step, name="trails")
            self._changed.notify()

    def end(self, trail: Trail) -> None:
        """Deliver what a trail has left, once the record of what ended it is there."""
        with self._changed:
            self._ending.append(trail)

    def _hear(self, record: dict[str, Any]) -> None:
        if record["eventName"] in _ENDS:
            with self._changed:
                self._closing, self._ending = self._closing + self._ending, []
                self._changed.notify()

    def _step(self) -> None:
        logs = any(trail.logging for trail in all_trails())
        with self._changed:
            if not self._closing:
                wait = runtime.current().clock.wait_seconds(LOG_SECONDS) if logs else None
                self._changed.wait(wait)
            closing, self._closing = self._closing, []
        work = [partial(deliver, trail) for trail in all_trails() if trail.logging]
        work += [partial(deliver, trail, last=True) for trail in closing]
        for one in work:
            threads.attempt(one, name="trails", failed=threads.logged)


deliveries = Deliveries()


def deliver(trail: Trail, *, last: bool = False) -> None:
    """Deliver what a trail has not delivered yet; what could not be is tried again the next time.

    Args:
        last: with a digest, whether its hour is over or not.
    """
    with trail.lock:
        if trail.offset is None:
            return
        stop = journal.end()
        records = [one for one in journal.forwards(trail.offset, stop) if selects(trail, one)]
        if all(one["userIdentity"].get("invokedBy") == SERVICE for one in records):
            records = []  # a file that tells of the last file alone would go on for ever
        of_regions: Records = {
            region: [] for region in sorted({one["awsRegion"] for one in records})
        }
        for one in records:
            of_regions[one["awsRegion"]].append(one)
        if _to_bucket(trail, of_regions, last=last):
            _to_log_group(trail, of_regions)
            trail.offset = None if last else stop


def check_bucket(trail: Trail) -> None:
    """See that CloudTrail may write to a trail's bucket, as its files will be.

    Raises:
        AWSError: InsufficientS3BucketPolicyException.
    """
    try:
        s3 = _as_service(trail, "s3")
        with clients.on_behalf_of(trail.arn):
            s3.get_bucket_acl(Bucket=trail.bucket)
        for folder in ("CloudTrail/", "CloudTrail-Digest/")[: 1 + _validates(trail)]:
            _put(trail, trail.key(folder), b"")
    except ClientError as error:
        raise AWSError(
            "InsufficientS3BucketPolicyException",
            f"Incorrect S3 bucket policy is detected for bucket: {trail.bucket}",
        ) from error


def check_log_group(trail: Trail) -> None:
    """See that the trail's role may write to its log group.

    Raises:
        AWSError: InvalidCloudWatchLogsRoleArnException.
    """
    try:
        _log_stream(trail, trail.region)
    except ClientError as error:
        raise AWSError(
            "InvalidCloudWatchLogsRoleArnException",
            f"Access denied. Check the permissions for your role. {error.response['Error']['Message']}",
        ) from error


def _to_bucket(trail: Trail, of_regions: Records, *, last: bool) -> bool:
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        for region, records in of_regions.items():
            _log_file(trail, region, records, now)
        if of_regions:
            trail.status["LatestDeliveryTime"] = now
        trail.status.pop("LatestDeliveryError", None)
    except ClientError as error:
        trail.status["LatestDeliveryError"] = error.response["Error"]["Code"]
        return False
    if _validates(trail):
        _digests(trail, now, last=last)
    return True


def _log_file(trail: Trail, region: str, records: list[dict[str, Any]], now: datetime) -> None:
    content = json.dumps({"Records": records}).encode()
    stamp = now.strftime("%Y%m%dT%H%MZ")
    unique = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    name = trail.key(
        "CloudTrail",
        region,
        now.strftime("%Y/%m/%d"),
        f"{trail.account_id}_CloudTrail_{region}_{stamp}_{unique}.json.gz",
    )
    _put(
        trail, name, gzip.compress(content), ContentType="application/json", ContentEncoding="gzip"
    )
    chain = trail.chains.setdefault(region, Chain(trail.status["StartLoggingTime"]))
    chain.files.append(digests.log_file(trail.bucket, name, records, content))


def _digests(trail: Trail, now: datetime, *, last: bool) -> None:
    hour = timedelta(seconds=runtime.current().clock.wait_seconds(DIGEST_SECONDS))
    for region, chain in trail.chains.items():
        if not (last or now - chain.since >= hour):
            continue
        until = max(now, chain.since + timedelta(seconds=1))  # it is in the file's name
        try:
            name, content, metadata = digests.digest(trail, region, chain, until)
            _put(trail, name, content, Metadata=metadata, ContentType="application/json")
            trail.status["LatestDigestDeliveryTime"] = now
            trail.status.pop("LatestDigestDeliveryError", None)
        except ClientError as error:
            trail.status["LatestDigestDeliveryError"] = error.response["Error"]["Code"]


def _put(trail: Trail, key: str, content: bytes, **how: Any) -> None:
    s3 = _as_service(trail, "s3")
    with clients.on_behalf_of(trail.arn):
        s3.put_object(Bucket=trail.bucket, Key=key, Body=content, ACL=_FULL_CONTROL, **how)


def _to_log_group(trail: Trail, of_regions: Records) -> None:
    if "CloudWatchLogsLogGroupArn" not in trail.settings:
        return
    try:
        for region, records in of_regions.items():
            logs, where = _log_stream(trail, region)
            for batch in _batches(records):
                logs.put_log_events(**where, logEvents=batch)
            trail.status["LatestCloudWatchLogsDeliveryTime"] = datetime.now(UTC)
        trail.status.pop("LatestCloudWatchLogsDeliveryError", None)
    except ClientError as error:
        trail.status["LatestCloudWatchLogsDeliveryError"] = error.response["Error"]["Message"]


def _log_stream(trail: Trail, region: str) -> tuple[Any, dict[str, str]]:
    """A client of CloudWatch Logs that acts as the trail's role, and the log stream, which is there then."""
    role, group = (
        trail.settings[name] for name in ("CloudWatchLogsRoleArn", "CloudWatchLogsLogGroupArn")
    )
    acting = clients.assume_role(
        SERVICE, role, f"CloudTrail_{trail.name}"[:64], trail.region, trail.arn
    )
    logs = acting.client("logs")
    where = {
        "logGroupName": group.split(":")[6],
        "logStreamName": f"{trail.account_id}_CloudTrail_{region}",
    }
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(**where)
    return logs, where


def _batches(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """As many log events at once as one call takes."""
    batch: list[dict[str, Any]] = []
    size = 0
    for record in records:
        text = json.dumps(record)
        at = int(datetime.fromisoformat(record["eventTime"]).timestamp() * 1000)
        more = len(text.encode()) + _EVENT_BYTES
        if batch and (len(batch) == _MOST_EVENTS or size + more > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append({"timestamp": at, "message": text})
        size += more
    if batch:
        yield batch


def _as_service(trail: Trail, service: str) -> Any:
    return clients.as_service(SERVICE, trail.region, trail.account_id).client(service)


def _validates(trail: Trail) -> bool:
    return bool(trail.settings["LogFileValidationEnabled"])
