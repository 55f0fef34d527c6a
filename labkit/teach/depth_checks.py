"""The checks of the lessons on builds in depth and on their speed: what CodeBuild still knows of its builds.

AWS pages: "View build details in AWS CodeBuild"; "Batch builds in AWS CodeBuild".
"""

from __future__ import annotations

from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.provision import build as builds
from labkit.teach.result import Result, line

# the phases that a learner's mistake can fail
CAN_FAIL = ("DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS")


def build_in_depth(lab: Lab) -> Result:
    """Every phase has failed once, and a failed test was reported and fixed."""
    codebuild = lab.client("codebuild")

    def never_failed() -> list[str]:
        phases = observe.build_phases(lab)
        failed = set(phases[phases["status"] == "FAILED"]["phase"])
        return [phase for phase in CAN_FAIL if phase not in failed]

    def reports() -> list[str]:
        """The status of each report, the oldest first."""
        [group] = builds.report_groups(lab)
        arns = codebuild.list_reports_for_report_group(reportGroupArn=group)["reports"]
        found = codebuild.batch_get_reports(reportArns=arns)["reports"]
        return [one["status"] for one in sorted(found, key=lambda one: one["created"])]

    return Result(
        "build in depth",
        (
            line(
                f"a build has failed in each of {', '.join(CAN_FAIL)}",
                "look at observe.build_phases(lab) for the one that is missing, and break it",
                lambda: not never_failed(),
            ),
            line(
                "a report shows a failed test",
                "build a commit whose tests fail, with a report of them",
                lambda: "FAILED" in reports(),
            ),
            line(
                "and the newest report shows none",
                "fix the test, push and build again",
                lambda: reports()[-1] == "SUCCEEDED",
            ),
        ),
    )


def build_speed(lab: Lab) -> Result:
    """A cache is kept, and a batch with a role of its own failed and was fixed."""
    codebuild = lab.client("codebuild")

    def project() -> dict[str, Any]:
        found: dict[str, Any] = codebuild.batch_get_projects(names=[lab.project])["projects"][0]
        return found

    def kept() -> int:
        cache = project()["cache"]
        bucket, _, prefix = cache["location"].partition("/")
        listed = lab.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
        return listed["KeyCount"] if cache["type"] == "S3" else 0

    def batches() -> list[str]:
        """The status of each batch, the oldest first."""
        found = codebuild.batch_get_build_batches(ids=builds.batches(lab))["buildBatches"]
        ordered = sorted(found, key=lambda one: one["startTime"])
        return [one["buildBatchStatus"] for one in ordered]

    return Result(
        "build speed",
        (
            line(
                "the project keeps its cache in S3, and a build has saved it",
                "call update_project with a cache, and build",
                kept,
            ),
            line(
                "batches act as a role of their own, not as the builds' role",
                "call update_project with a buildBatchConfig",
                lambda: project()["buildBatchConfig"]["serviceRole"] != project()["serviceRole"],
            ),
            line(
                "a batch has failed, and the last one succeeded",
                "fix the service that failed, push, and start a batch",
                lambda: "FAILED" in batches() and batches()[-1] == "SUCCEEDED",
            ),
        ),
    )
