"""Lesson 4: what is wrong with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labkit.lab import Lab


def closed(lab: Lab) -> Iterator[str]:
    answer = lab.client("s3").get_public_access_block(Bucket=lab.bucket)
    block = answer["PublicAccessBlockConfiguration"]
    off = [name for name, on in block.items() if not on]
    if off or len(block) < 4:
        yield f"not all four switches are on: {', '.join(off)}"


def versioned(lab: Lab) -> Iterator[str]:
    status = lab.client("s3").get_bucket_versioning(Bucket=lab.bucket).get("Status")
    if status is None:
        yield "the bucket keeps no versions: call put_bucket_versioning"
    if status != "Enabled":
        yield f"versioning is {status}: from now on, whatever is overwritten is gone. Enabled"


def emptied(lab: Lab, rule: dict[str, Any]) -> Iterator[str]:
    if rule.get("Status") != "Enabled":
        yield f"a rule that is {rule.get('Status')} deletes nothing"
    if rule.get("Filter", {}).get("Prefix") != "":
        yield "it holds for a part of the bucket only. An empty Prefix means everything"
    if "Expiration" not in rule:
        yield "current objects would stay forever: Expiration"
    if "NoncurrentVersionExpiration" not in rule:
        yield "with versioning on, what expires lives on as an older version, and you pay for it: NoncurrentVersionExpiration"
    if "AbortIncompleteMultipartUpload" not in rule:
        yield "you pay for broken-off uploads, and no listing shows them: AbortIncompleteMultipartUpload"
    if not 7 <= rule["Expiration"]["Days"] <= 90:
        yield f"{rule['Expiration']['Days']} days: too short to go back to an old release, or longer than anybody needs"


def after_the_delete(listed: dict[str, Any]) -> str:
    return f"{len(listed['Versions']) if len(listed['Versions']) < 2 else 2}"


def place_described(lab: Lab, to_bucket: dict[str, Any]) -> Iterator[str]:
    if to_bucket.get("type") != "S3":
        yield f"the type of an artifact that is kept in a bucket is S3, not {to_bucket.get('type')}"
    if to_bucket.get("location") != lab.bucket:
        yield f"location is the name of the bucket, {lab.bucket}"
    if to_bucket.get("namespaceType") != "BUILD_ID":
        yield "every build would write to the same key. namespaceType puts the build's id into it"
    if to_bucket.get("packaging") != "ZIP":
        yield "CodeDeploy wants one file; without packaging the bucket gets every file by itself: ZIP"
    if to_bucket.get("path") != "by-hand":
        yield "the folder should be by-hand: path"


def build_without_output(broken: dict[str, Any]) -> str:
    return str(broken["buildStatus"])
