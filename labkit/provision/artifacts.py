"""The artifact bucket: what one stage hands to the next lies here, as zip files.

A pipeline never deletes an artifact, so the bucket does it: old ones expire.
AWS pages: "Input and output artifacts" (CodePipeline); "Managing the lifecycle of objects" (S3).
"""

from __future__ import annotations

from typing import Any

from labkit.lab import Lab, tag_list
from labkit.provision import aws
from labkit.provision.aws import missing_is_fine

KEEP_DAYS = 30


def create_bucket(lab: Lab) -> str:
    """Create the bucket, closed and encrypted and versioned; returns its name."""
    s3, bucket = lab.client("s3"), lab.bucket
    aws.create_bucket(lab, bucket)
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [expiry_rule()]}
    )
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tag_list(lab)})
    return bucket


def expiry_rule() -> dict[str, Any]:
    """The lifecycle rule: artifacts, and versions that were replaced, go after `KEEP_DAYS`."""
    return {
        "ID": "old-artifacts",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": KEEP_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": KEEP_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }


def delete_bucket(lab: Lab) -> None:
    """Delete every version of every object, then the bucket: S3 deletes only an empty one."""
    s3 = lab.client("s3")
    with missing_is_fine():
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=lab.bucket):
            versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
            doomed = [{key: item[key] for key in ("Key", "VersionId")} for item in versions]
            if doomed:
                s3.delete_objects(Bucket=lab.bucket, Delete={"Objects": doomed, "Quiet": True})
        s3.delete_bucket(Bucket=lab.bucket)
