"""What the lesson on protection makes beside the pieces, and how that goes again.

AWS pages: "Deleting roles or instance profiles"; "DeleteBucketPolicy" in the Amazon S3 API Reference.
"""

from __future__ import annotations

from labkit.lab import Lab
from labkit.provision import environments, roles
from labkit.provision.aws import missing_is_fine

PEOPLE = ("developer", "releaser", "break-glass")


def delete_protection(lab: Lab) -> None:
    """Delete the people's roles, the bucket's policy and the place that production is."""
    s3 = lab.client("s3")
    with missing_is_fine():
        s3.delete_bucket_policy(Bucket=lab.bucket)
    environments.delete_environments(lab)
    for who in PEOPLE:
        with missing_is_fine():
            roles.delete_role(lab, who)
