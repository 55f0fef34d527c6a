"""Lifecycle rules act: objects and versions expire, go to other storage classes, uploads are given up.

Every few minutes of the scaled clock S3 looks through the buckets that have rules. It does this for
itself: nobody is asked, neither IAM nor a bucket's policy, and CloudTrail hears of nothing. A bucket's
notifications do.

AWS pages: "Managing the lifecycle of objects"; "Expiring objects"; "How S3 Lifecycle interacts with other
bucket configurations"; "Configuring S3 Lifecycle event notifications".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.s3 import notifications
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend
from moto.s3.notifications import S3NotificationEvent as Event
from moto.s3.responses import S3Response

from labkit.cloud.iam import state
from labkit.cloud.s3 import rules
from labkit.cloud.s3.rules import Rule
from labkit.cloud.shared import runtime, threads

SWEEP_SECONDS = 300  # of AWS, which does it once a day
_DELETED = Event.LIFECYCLEEXPIRATION_DELETE_EVENT
_MARKED = Event.LIFECYCLE_EXPIRATION_DELETE_MARKER_CREATED_EVENT


def start() -> None:
    """Keep rules as they were put, and act on them: called once, when the local AWS starts."""
    S3Response._bucket_response_put = _taking_rules(S3Response._bucket_response_put)  # type: ignore[method-assign]
    S3Response.get_bucket_lifecycle = _get(S3Response.get_bucket_lifecycle)  # type: ignore[method-assign]
    FakeKey.response_dict = property(partial(_headers, FakeKey.response_dict.fget))  # type: ignore[assignment, method-assign, attr-defined]
    _date(FakeMultipart)
    threads.repeat(_sweep, name="s3-lifecycle")


def _taking_rules(original: Callable[..., Any]) -> Callable[..., Any]:
    """`PutBucketLifecycleConfiguration` keeps its rules whole: moto forgets sizes and numbers of versions."""

    @wraps(original)
    def put(self: Any, request: Any, bucket_name: str, querystring: dict[str, Any]) -> Any:
        if "lifecycle" not in querystring:
            return original(self, request, bucket_name, querystring)
        given = request.environ["labkit.given"]["LifecycleConfiguration"]["Rules"]
        rules.check(given)
        bucket = self.backend.get_bucket(bucket_name)
        bucket.rules = [{"ID": uuid.uuid4().hex, **rule} for rule in given]
        return self.serialized(EmptyResult())

    return put


def _get(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def get_bucket_lifecycle(self: Any) -> Any:
        kept = self.backend.get_bucket_lifecycle(self.bucket_name)
        if not kept:
            return original(self)
        self.data["Action"] = "GetBucketLifecycleConfiguration"
        least = "all_storage_classes_128K"
        return self.serialized(
            ActionResult({"Rules": kept, "TransitionDefaultMinimumObjectSize": least})
        )

    return get_bucket_lifecycle


def _date(kept: Any) -> None:
    """moto does not keep when an upload began."""
    original = kept.__init__

    @wraps(original)
    def began(self: Any, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        self.initiated = datetime.now(UTC)

    kept.__init__ = began


def _headers(original: Callable[[Any], dict[str, Any]], key: FakeKey) -> dict[str, Any]:
    """With `x-amz-expiration`, when a rule expires the object."""
    headers = original(key)
    backend = state.of_bucket(key.bucket_name or "")
    if backend is None:
        return headers
    bucket = backend.buckets[key.bucket_name]
    if not bucket.rules or bucket.keys.get(key.name) is not key:
        return headers
    found = [
        (when, rule["ID"])
        for rule in _Sweep(backend, bucket).of_object(key)
        if (when := rules.due(rules.utc(key.last_modified), rule.get("Expiration", {})))
    ]
    if found:
        when, name = min(found)
        date = when.strftime("%a, %d %b %Y %H:%M:%S GMT")
        headers["x-amz-expiration"] = f'expiry-date="{date}", rule-id="{name}"'
    return headers


def _sweep() -> None:
    time.sleep(max(runtime.current().clock.wait_seconds(SWEEP_SECONDS), 0.1))
    for backend in state.everywhere("s3"):
        for bucket in list(backend.buckets.values()):
            if getattr(bucket, "rules", None):
                sweep = _Sweep(backend, bucket)
                threads.attempt(
                    sweep.act, name=f"lifecycle of {bucket.name}", failed=threads.logged
                )


@dataclass(frozen=True)
class _Sweep:
    """The rules of one bucket, and what is in it."""

    backend: S3Backend
    bucket: FakeBucket

    def act(self) -> None:
        """Do all that is due by now."""
        for name, versions in list(self.bucket.keys.lists()):
            self._noncurrent(name, versions)
            self._current(name)
        for upload_id, upload in list(self.bucket.multiparts.items()):
            for rule in self._enabled():
                given_up = rule.get("AbortIncompleteMultipartUpload", {})
                end = rules.due(upload.initiated, given_up, "DaysAfterInitiation")  # type: ignore[attr-defined]
                if rules.applies(rule, upload.key_name) and _past(end):
                    self.bucket.multiparts.pop(upload_id, None)

    def of_object(self, key: FakeKey | FakeDeleteMarker) -> list[Rule]:
        """The rules that are for an object, or a delete marker."""
        size, tags = 0, None
        if isinstance(key, FakeKey):
            size, tags = key.contentsize, self.backend.tagger.get_tag_dict_for_resource(key.arn)
        return [rule for rule in self._enabled() if rules.applies(rule, key.name, size, tags)]

    def _enabled(self) -> list[Rule]:
        kept: list[Any] = self.bucket.rules
        return [rule for rule in kept if rule["Status"] == "Enabled"]

    def _current(self, name: str) -> None:
        versions = self.bucket.keys.getlist(name, [])
        if not versions:
            return
        key, made = versions[-1], rules.utc(versions[-1].last_modified)
        applying = self.of_object(key)
        expired = any(_past(rules.due(made, rule.get("Expiration", {}))) for rule in applying)
        if isinstance(key, FakeDeleteMarker):
            asked = any(
                rule.get("Expiration", {}).get("ExpiredObjectDeleteMarker") for rule in applying
            )
            if len(versions) == 1 and (expired or asked):
                self._remove(name, key)
            return
        if not (expired and self.bucket.versioning_status is None):
            self._transition(key, applying, made, "Transitions", "Days")
        if expired:
            self._expire(name, key)

    def _expire(self, name: str, key: FakeKey) -> None:
        """Delete the object; where there are versions, as a delete without a version id does."""
        if self.bucket.versioning_status is None:
            return self._remove(name, key)
        marker = FakeDeleteMarker(key=key)
        marker.last_modified = rules.midnight(datetime.now(UTC)).replace(tzinfo=None)
        versions = self.bucket.keys.getlist(name)
        if not self.bucket.is_versioned:
            marker._version_id = "null"
            versions = [one for one in versions if one.version_id != "null"]
        self.bucket.keys.setlist(name, [*versions, marker])
        self._tell(_MARKED, key)

    def _noncurrent(self, name: str, versions: list[Any]) -> None:
        """What is not current any more expires, but for the newest that a rule keeps."""
        for newer, index in enumerate(range(len(versions) - 2, -1, -1)):
            key, replaced = versions[index], rules.utc(versions[index + 1].last_modified)
            applying = self.of_object(key)
            expirations = [rule.get("NoncurrentVersionExpiration", {}) for rule in applying]
            if any(
                _past(rules.due(replaced, one, "NoncurrentDays"))
                and newer >= one.get("NewerNoncurrentVersions", 0)
                for one in expirations
            ):
                self._remove(name, key)
            elif isinstance(key, FakeKey):
                kind = "NoncurrentVersionTransitions"
                self._transition(key, applying, replaced, kind, "NoncurrentDays", newer)

    def _transition(
        self,
        key: FakeKey,
        applying: list[Rule],
        begin: datetime,
        kind: str,
        days: str,
        newer: int = 0,
    ) -> None:
        """Note the lowest class that is due; what is small stays, unless a rule speaks of sizes."""
        found = [
            one["StorageClass"]
            for rule in applying
            for one in rule.get(kind, ())
            if (rules.has_size(rule) or key.contentsize >= rules.SMALLEST_TRANSITION)
            and newer >= one.get("NewerNoncurrentVersions", 0)
            and _past(rules.due(begin, one, days))
        ]
        lowest = max([key.storage_class or "STANDARD", *found], key=rules.CLASSES.index)
        if lowest != key.storage_class:
            key.set_storage_class(lowest)
            self._tell(Event.LIFECYCLE_TRANSITION_EVENT, key)

    def _remove(self, name: str, key: FakeKey | FakeDeleteMarker) -> None:
        left = [one for one in self.bucket.keys.getlist(name, []) if one is not key]
        if isinstance(key, FakeKey):
            self._tell(_DELETED, key)
        self.bucket.keys.setlist(name, left)
        if not left:
            self.bucket.keys.pop(name)

    def _tell(self, event: Event, key: FakeKey) -> None:
        notifications.send_event(self.bucket.account_id, event, self.bucket, key)


def _past(end: datetime | None) -> bool:
    return end is not None and end <= datetime.now(UTC)
