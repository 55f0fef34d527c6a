"""What a bucket tells EventBridge: once it is asked to, everything that happens to its objects.

AWS pages: "EventBridge event message structure" (Amazon S3); "Using EventBridge".
"""

from __future__ import annotations

import uuid
from typing import Any

from moto.s3 import notifications
from moto.s3.models import FakeBucket

from labkit.cloud import bus

_REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
    "LifecycleExpiration:Delete": "Lifecycle Expiration",
    "LifecycleExpiration:DeleteMarkerCreated": "Lifecycle Expiration",
}


def start() -> None:
    """Have EventBridge told in AWS's words, by the bus: called once, when the local AWS starts."""
    notifications._send_event_bridge_message = _publish


def _publish(account_id: str, bucket: FakeBucket, event_name: str, key: Any) -> None:
    name = str(getattr(event_name, "value", event_name)).removeprefix("s3:")
    itself = name.startswith("Lifecycle")
    about = {"key": key.name, "size": key.size, "etag": key.etag.strip('"')}
    if key.version_id != "null":
        about["version-id"] = key.version_id
    detail = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": about,
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": "s3.amazonaws.com" if itself else account_id,
    }
    if not itself:
        detail["source-ip-address"] = "127.0.0.1"
    if name in _REASONS:
        detail["reason"] = _REASONS[name]
    if _REASONS.get(name) in ("DeleteObject", "Lifecycle Expiration"):
        del about["size"]
        marked = name.endswith("DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if marked else "Permanently Deleted"
    if name == "LifecycleTransition":
        detail["destination-storage-class"] = key.storage_class
    bus.publish(
        "aws.s3",
        notifications._detail_type(event_name),
        detail,
        account=account_id,
        region=bucket.region_name,
        resources=[bucket.arn],
    )
