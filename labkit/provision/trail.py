"""A trail of what happens in the account, the reads and writes of the artifacts among it, and its bucket.

AWS pages: "Amazon S3 bucket policy for CloudTrail"; "Creating, updating, and managing trails with the AWS CLI";
"Logging data events".
"""

from __future__ import annotations

import json
from typing import Any

from labkit.lab import Lab, tag_list
from labkit.provision.aws import create_bucket, created, delete_user, missing_is_fine

_SERVICE = {"Service": "cloudtrail.amazonaws.com"}


def name(lab: Lab) -> str:
    """What the trail is called."""
    return f"{lab.name}-trail"


def bucket(lab: Lab) -> str:
    """The bucket that it delivers to."""
    return f"{lab.name}-trail-{lab.account_id}-{lab.region}"


def bucket_policy(lab: Lab) -> dict[str, Any]:
    """Lets CloudTrail write this trail's files, and nothing else."""
    of_trail = {"aws:SourceArn": lab.arn("cloudtrail", f"trail/{name(lab)}")}
    to_owner = {"s3:x-amz-acl": "bucket-owner-full-control"}
    where = f"arn:aws:s3:::{bucket(lab)}"
    allow = {"Effect": "Allow", "Principal": _SERVICE}
    look = {"Action": "s3:GetBucketAcl", "Resource": where, "Condition": {"StringEquals": of_trail}}
    write = {
        "Action": "s3:PutObject",
        "Resource": f"{where}/AWSLogs/{lab.account_id}/*",
        "Condition": {"StringEquals": {**of_trail, **to_owner}},
    }
    return {"Version": "2012-10-17", "Statement": [{**allow, **look}, {**allow, **write}]}


def create_trail(lab: Lab) -> str:
    """Create the trail with its bucket, and have it log; returns its name.

    It has management events, the data events of the artifact bucket, and digest files.
    """
    s3, cloudtrail = lab.client("s3"), lab.client("cloudtrail")
    create_bucket(lab, bucket(lab))
    s3.put_bucket_policy(Bucket=bucket(lab), Policy=json.dumps(bucket_policy(lab)))
    created(
        cloudtrail.create_trail,
        Name=name(lab),
        S3BucketName=bucket(lab),
        EnableLogFileValidation=True,
        TagsList=tag_list(lab),
    )
    artifacts = {"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{lab.bucket}/"]}
    selector = {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [artifacts],
    }
    cloudtrail.put_event_selectors(TrailName=name(lab), EventSelectors=[selector])
    cloudtrail.start_logging(Name=name(lab))
    return name(lab)


def delete_trail(lab: Lab) -> None:
    """Delete the trail, and its bucket with what it delivered."""
    s3 = lab.client("s3")
    with missing_is_fine():  # what is still to be delivered would fill the bucket again
        s3.delete_bucket_policy(Bucket=bucket(lab))
    with missing_is_fine():
        lab.client("cloudtrail").delete_trail(Name=name(lab))
    with missing_is_fine():
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket(lab)):
            for item in page.get("Contents", []):
                s3.delete_object(Bucket=bucket(lab), Key=item["Key"])
        s3.delete_bucket(Bucket=bucket(lab))


def robot(lab: Lab) -> str:
    """The user of the lesson on least privilege: a program outside AWS, which needs keys."""
    return f"{lab.name}-robot"


def delete_robot(lab: Lab) -> None:
    """Delete the user, with its keys and policies, and the project that it made."""
    with missing_is_fine():
        lab.client("codebuild").delete_project(name=robot(lab))
    delete_user(lab, robot(lab))
