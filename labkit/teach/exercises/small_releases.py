"""Releases that take a second: a repository with one page, and folders of a bucket as places to release to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.observe.snapshot import Snapshot
from labkit.provision import environments, pipeline, provision, roles
from labkit.provision.aws import create_bucket, missing_is_fine
from labkit.teach.exercises.model import taken

PAGE = "page.txt"


def prepare(lab: Lab, *statements: roles.Statement, until: str = "artifacts") -> str:
    """The pieces up to `until`, a bucket for the releases, and a role that may write there; returns the bucket."""
    provision(lab, until=until)
    bucket = environments.sites(lab)
    create_bucket(lab, bucket)
    write = roles.allow(["s3:PutObject"], f"arn:aws:s3:::{bucket}/*")
    lab.client("iam").put_role_policy(
        RoleName=lab.role("codepipeline"),
        PolicyName="releases",
        PolicyDocument=roles.document(write, *statements),
    )
    return bucket


def create(lab: Lab, declared: Mapping[str, Any]) -> None:
    """Create the pipeline anew, and wait until its first execution stands still.

    Raises:
        NotTakenError: CodePipeline takes it for none.
    """
    codepipeline = lab.client("codepipeline")
    with missing_is_fine():
        codepipeline.delete_pipeline(name=lab.pipeline)
    with taken("stages"):
        codepipeline.create_pipeline(pipeline=declared)
    observe.wait_for_execution(lab)


def declaration(lab: Lab, stages: Any) -> dict[str, Any]:
    """A pipeline of these stages, with the lab's role and bucket."""
    return pipeline.declaration(lab) | {"stages": stages}


def there(lab: Lab, folder: str) -> str:
    """The page that was released to a folder; "" where none was."""
    s3, bucket = lab.client("s3"), environments.sites(lab)
    try:
        return str(s3.get_object(Bucket=bucket, Key=f"{folder}/{PAGE}")["Body"].read().decode())
    except s3.exceptions.NoSuchKey:
        return ""


def clear(lab: Lab) -> None:
    """Take away what was released."""
    s3, bucket = lab.client("s3"), environments.sites(lab)
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3.delete_object(Bucket=bucket, Key=item["Key"])


def started(lab: Lab, commit: str, seconds: float = 10.0) -> Snapshot | None:
    """The execution of a commit, where it stands still; None when the push has started none."""
    try:
        execution = observe.execution_of(lab, commit, timeout=seconds)
    except TimeoutError:
        return None
    return observe.wait_for_execution(lab, execution)


def page(text: str) -> str:
    """A page that no other release has."""
    return f"{text} {time.time_ns()}\n"
