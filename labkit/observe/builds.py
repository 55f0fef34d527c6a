"""What CodeBuild did: builds, their phases and their tests, read back through its API.

AWS page: "View build details in AWS CodeBuild".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from labkit import colours
from labkit.lab import Lab
from labkit.missing import says_what_is_missing
from labkit.observe.charts import Chart, Row, Segment, bars, empty

# in the order they run; COMPLETED is a moment, not a phase
PHASES = ["SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD",
          "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING"]  # fmt: skip
_SHORT_SECONDS = 0.05  # a shorter phase is not to be seen


def all_builds(lab: Lab) -> list[dict[str, Any]]:
    """Every build of the project as BatchGetBuilds describes it, oldest first."""
    codebuild = lab.client("codebuild")
    pages = codebuild.get_paginator("list_builds_for_project").paginate(
        projectName=lab.project, sortOrder="ASCENDING"
    )
    return [
        build
        for page in pages
        if page["ids"]
        for build in sorted(
            codebuild.batch_get_builds(ids=page["ids"])["builds"],
            key=lambda build: build["buildNumber"],
        )
    ]


@says_what_is_missing
def builds(lab: Lab) -> pd.DataFrame:
    """A row for each build: build, status, commit, initiator, started, seconds, id."""
    rows = [
        {
            "build": build["buildNumber"],
            "status": build["buildStatus"],
            "commit": (build.get("resolvedSourceVersion") or "")[:8],
            "initiator": build.get("initiator", ""),
            "started": build["startTime"],
            "seconds": _seconds(build),
            "id": build["id"],
        }
        for build in all_builds(lab)
    ]
    columns = ["build", "status", "commit", "initiator", "started", "seconds", "id"]
    return pd.DataFrame(rows, columns=columns)


@says_what_is_missing
def build_phases(lab: Lab) -> pd.DataFrame:
    """A row for each phase of each build: build, phase, status, seconds, start, message."""
    rows = [
        {
            "build": build["buildNumber"],
            "phase": phase["phaseType"],
            "status": phase.get("phaseStatus", "IN_PROGRESS"),
            "seconds": _seconds(phase),
            "start": phase["startTime"],
            "message": " ".join(
                context.get("message") or "" for context in phase.get("contexts") or []
            ).strip(),
        }
        for build in all_builds(lab)
        for phase in build.get("phases", [])
        if phase["phaseType"] in PHASES
    ]
    columns = ["build", "phase", "status", "seconds", "start", "message"]
    return pd.DataFrame(rows, columns=columns)


def failed_phases(lab: Lab, build_ids: Mapping[str, str]) -> pd.DataFrame:
    """A row for each phase that did not succeed: build, phase, status, code, message.

    Code and message are the phase's context. AWS page: "Troubleshooting AWS CodeBuild".

    Args:
        build_ids: the ids of the builds, by what the table is to call them.

    Raises:
        LookupError: CodeBuild has no such build.
    """
    rows = [
        {
            "build": name,
            "phase": phase["phaseType"],
            "status": phase["phaseStatus"],
            "code": context.get("statusCode", ""),
            "message": context.get("message", ""),
        }
        for name, build in _named(lab, build_ids).items()
        for phase in build["phases"]
        if phase.get("phaseStatus", "SUCCEEDED") != "SUCCEEDED"
        for context in phase.get("contexts") or [{}]
    ]
    return pd.DataFrame(rows, columns=["build", "phase", "status", "code", "message"])


def phase_grid(lab: Lab, build_ids: Mapping[str, str]) -> pd.DataFrame:
    """What ran, and what came of it: a row for each phase, a column for each build.

    A phase that did not run is empty. AWS page: "Build phase transitions".

    Args:
        build_ids: the ids of the builds, by what the table is to call them.

    Raises:
        LookupError: CodeBuild has no such build.
    """
    columns = {
        name: {
            phase["phaseType"]: phase.get("phaseStatus", "IN_PROGRESS") for phase in build["phases"]
        }
        for name, build in _named(lab, build_ids).items()
    }
    return pd.DataFrame(columns, index=pd.Index(PHASES, name="phase")).fillna("")


def _named(lab: Lab, build_ids: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The builds as BatchGetBuilds describes them, by the names given."""
    if not build_ids:
        return {}
    answer = lab.client("codebuild").batch_get_builds(ids=list(build_ids.values()))
    if answer["buildsNotFound"]:
        raise LookupError(f"CodeBuild has no build {', '.join(answer['buildsNotFound'])}")
    found = {build["id"]: build for build in answer["builds"]}
    return {name: found[build_id] for name, build_id in build_ids.items()}


@says_what_is_missing
def reported_tests(lab: Lab, build_id: str) -> pd.DataFrame:
    """A row for each test that a build reported: test, status, milliseconds, message.

    AWS page: "Work with test reports in AWS CodeBuild".
    """
    codebuild = lab.client("codebuild")
    arns = codebuild.batch_get_builds(ids=[build_id])["builds"][0].get("reportArns", [])
    rows = [
        {
            "test": case["name"],
            "status": case["status"],
            "milliseconds": case.get("durationInNanoSeconds", 0) / 1e6,
            "message": case.get("message", ""),
        }
        for arn in arns
        for page in codebuild.get_paginator("describe_test_cases").paginate(reportArn=arn)
        for case in page["testCases"]
    ]
    return pd.DataFrame(rows, columns=["test", "status", "milliseconds", "message"])


@says_what_is_missing
def batch_builds(lab: Lab, batch_id: str) -> pd.DataFrame:
    """A row for each build of a batch: build, after, status, compute, seconds, id.

    `after` names the builds that it waits for. A build that was never started has no id.
    AWS page: "Batch builds in AWS CodeBuild".
    """
    codebuild = lab.client("codebuild")
    groups = codebuild.batch_get_build_batches(ids=[batch_id])["buildBatches"][0]["buildGroups"]
    ids = [_id_of(group) for group in groups]
    known = codebuild.batch_get_builds(ids=[one for one in ids if one])["builds"]
    builds_by_id = {build["id"]: build for build in known}
    rows = []
    for group, build_id in zip(groups, ids, strict=True):
        build = builds_by_id.get(build_id)
        rows.append(
            {
                "build": group["identifier"],
                "after": ", ".join(group.get("dependsOn", [])),
                "status": group.get("currentBuildSummary", {}).get("buildStatus", ""),
                "compute": build["environment"]["computeType"] if build else "",
                "seconds": _seconds(build) if build else None,
                "id": build_id,
            }
        )
    columns = ["build", "after", "status", "compute", "seconds", "id"]
    return pd.DataFrame(rows, columns=columns)


def _id_of(group: dict[str, Any]) -> str:
    """`arn:aws:codebuild:...:build/project:uuid` without what is before the id."""
    return str(group.get("currentBuildSummary", {}).get("arn", "").rpartition("/")[2])


def chart_build_phases(phases: pd.DataFrame) -> Chart:
    """Where the time of each build went: a bar for each build, a segment for each phase.

    Args:
        phases: what `build_phases` returned.
    """
    title = "Where the time of each build went"
    timed = phases.dropna(subset=["seconds"])
    if timed.empty:
        return empty(title, "no build has run yet")
    numbers = sorted(timed["build"].unique())
    rows = []
    for number in numbers:
        mine = timed[timed["build"] == number]
        segments = [
            Segment(one.seconds, colours.of_kind(PHASES.index(one.phase)), one.phase)
            for one in mine.itertuples()
            if one.seconds >= _SHORT_SECONDS
        ]
        failed = _failed_phase(timed, number)
        note = f"{mine['seconds'].sum():.1f} s" + (f", {failed} failed" if failed else "")
        rows.append(Row(f"build {number}", note, segments=segments))
    return bars(title, "seconds", rows, f"{title}: {_longest(timed, numbers)}")


def _longest(timed: pd.DataFrame, numbers: list[int]) -> str:
    parts = []
    for number in numbers:
        mine = timed[timed["build"] == number]
        longest = mine.loc[mine["seconds"].idxmax()]
        failed = _failed_phase(timed, number)
        parts.append(
            f"build {number} {mine['seconds'].sum():.1f} s, longest phase {longest['phase']} "
            f"with {longest['seconds']:.1f} s" + (f", {failed} failed" if failed else "")
        )
    return "; ".join(parts) + "."


def _failed_phase(timed: pd.DataFrame, number: int) -> str | None:
    mine = timed[(timed["build"] == number) & ~timed["status"].isin(["SUCCEEDED", "IN_PROGRESS"])]
    return None if mine.empty else str(mine["phase"].iloc[0])


def _seconds(item: dict[str, Any]) -> float | None:
    """Finer than durationInSeconds, which is whole seconds."""
    if item.get("endTime") is None:
        return None
    return float((item["endTime"] - item["startTime"]).total_seconds())
