"""What the CodeBuild tests share: a role, a bucket, and a way to run one build to its end."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.roles import create_role
from tests.waiting import eventually

ENVIRONMENT = {
    "type": "LINUX_CONTAINER",
    "image": "aws/codebuild/amazonlinux2-x86_64-standard:5.0",
    "computeType": "BUILD_GENERAL1_SMALL",
}


@dataclass
class Bench:
    """A bucket and a role in the shared lab, and what it takes to build with them."""

    aws: Any
    bucket: str
    role: str
    projects: list[str] = field(default_factory=list)

    @property
    def codebuild(self) -> Any:
        return self.aws.client("codebuild")

    def project(self, **settings: Any) -> str:
        """Create a project, whose settings win over what most tests need; returns its name."""
        name = f"case-{uuid4().hex[:10]}"
        self.codebuild.create_project(
            **{
                "name": name,
                "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2"},
                "artifacts": {"type": "NO_ARTIFACTS"},
                "environment": ENVIRONMENT,
                "serviceRole": self.role,
                **settings,
            }
        )
        self.projects.append(name)
        return name

    def upload(self, files: dict[str, str | bytes], key: str | None = None, **extra: Any) -> str:
        """Put a zip of `files` in the bucket; returns its key. `*.sh` is executable."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for name, content in files.items():
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
                archive.writestr(info, content)
        key = key or f"source/{uuid4().hex}.zip"
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body.getvalue(), **extra)
        return key

    def run(self, project: str, **overrides: Any) -> dict[str, Any]:
        """Start a build and return it when it is over."""
        build = self.codebuild.start_build(projectName=project, **overrides)["build"]
        return self.wait(build["id"])

    def wait(self, build_id: str, seconds: float = 60) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            return self.codebuild.batch_get_builds(ids=[build_id])["builds"][0]

        return eventually(read, seconds, enough=lambda build: build["buildComplete"])

    def wait_for_log(self, build: dict[str, Any], text: str, seconds: float = 20) -> None:
        """Return when `text` is in the log of a build that may still run."""
        eventually(
            lambda: self.log(build),
            seconds,
            enough=lambda lines: any(text in line for line in lines),
            what=f"{text!r} is not in the log",
        )

    def log(self, build: dict[str, Any]) -> list[str]:
        """The lines of a build's log."""
        logs = self.aws.client("logs")
        group, stream = build["logs"]["groupName"], build["logs"]["streamName"]
        lines: list[str] = []
        token: dict[str, str] = {}
        try:
            while True:
                page = logs.get_log_events(
                    logGroupName=group, logStreamName=stream, startFromHead=True, **token
                )
                if not page["events"]:
                    return lines
                lines += [event["message"].rstrip("\n") for event in page["events"]]
                token = {"nextToken": page["nextForwardToken"]}
        except logs.exceptions.ResourceNotFoundException:
            return lines

    def unzip(self, key: str) -> dict[str, str]:
        """The files of a zip in the bucket: name to text."""
        body = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}


def make_bench(aws: Any) -> Bench:
    """A role and a bucket in a running lab."""
    name = f"codebuild-cases-{uuid4().hex[:8]}"
    aws.client("s3").create_bucket(Bucket=name)
    return Bench(aws, name, create_role(aws, name, "codebuild.amazonaws.com"))


@pytest.fixture(scope="session")
def bench(aws: Any) -> Bench:
    return make_bench(aws)
