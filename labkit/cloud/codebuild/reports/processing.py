"""What a build does with its reports, after POST_BUILD and before its artifacts.

A report that cannot be made, or that has failed tests, does not fail the build. AWS pages: "Working
with reports in AWS CodeBuild"; "Build specification reference for CodeBuild", reports.
"""

from __future__ import annotations

import io
import os
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codebuild.artifacts import pattern
from labkit.cloud.codebuild.backend import CodeBuildBackend
from labkit.cloud.codebuild.buildspec import ReportSpec
from labkit.cloud.codebuild.models import Build
from labkit.cloud.codebuild.preparation import Prepared
from labkit.cloud.codebuild.reports import formats
from labkit.cloud.codebuild.reports.models import Report, ReportGroup
from labkit.cloud.shared.clients import Session

MOST_GROUPS = 5  # of one build
Say = Callable[[str], None]


def process(
    backend: CodeBuildBackend, build: Build, prepared: Prepared, session: Session, say: Say
) -> None:
    """Make every report of a build's buildspec; nothing is raised."""
    for number, (name, spec) in enumerate(prepared.spec.reports.items()):
        if number >= MOST_GROUPS:
            say(f"Skipping report {name}: a build has at most {MOST_GROUPS} report groups")
            continue
        try:
            _one(backend, build, prepared, session, say, name, spec)
        except _ReportFailed as failed:
            say(f"Error processing report {name}: {failed}")


class _ReportFailed(Exception):
    """A report of which nothing can be kept."""


def _one(
    backend: CodeBuildBackend,
    build: Build,
    prepared: Prepared,
    session: Session,
    say: Say,
    name: str,
    spec: ReportSpec,
) -> None:
    kind = "TEST" if spec.file_format in formats.TESTS else "CODE_COVERAGE"
    if kind != "TEST" and spec.file_format not in formats.COVERAGE:
        known = ", ".join((*formats.TESTS, *formats.COVERAGE))
        raise _ReportFailed(f"unknown file-format {spec.file_format}. Expecting: {known}")
    group = _group(backend, build, name, kind)
    report = Report(
        f"{group.arn.replace(':report-group/', ':report/')}:{uuid.uuid4()}",
        group.arn,
        kind,
        build.arn,
        group.export,
    )
    backend.reports[report.arn] = report
    build.report_arns.append(report.arn)
    say(f"Preparing to copy {kind.replace('_', ' ')} report {group.name}")
    files = _files(prepared, spec, say)
    _read(report, spec, files, say)
    say(f"Report {report.arn}: {report.status}")
    _export(report, files, session, say)


def _group(backend: CodeBuildBackend, build: Build, name: str, kind: str) -> ReportGroup:
    """The group that a buildspec names: an ARN that is there, or one of the project's own."""
    if name.startswith("arn:"):
        known = backend.report_groups.get(name)
        if known is None:
            raise _ReportFailed(f"the report group {name} does not exist")
    else:
        prefix = build.project.arn.replace(":project/", ":report-group/")
        arn = f"{prefix}-{name}"
        known = backend.report_groups.setdefault(
            arn, ReportGroup(arn, kind, {"exportConfigType": "NO_EXPORT"})
        )
    if known.type != kind:
        raise _ReportFailed(f"the report group {known.name} is of type {known.type}, not {kind}")
    return known


def _files(prepared: Prepared, spec: ReportSpec, say: Say) -> dict[str, Path]:
    """The files of a report by their names in it; only the source directory is looked at."""
    base = Path(os.path.normpath(prepared.source / spec.base_directory))
    if not base.is_relative_to(prepared.source) or not base.is_dir():
        say(f"No matching base directory path found for {spec.base_directory}")
        return {}
    present = [Path(place) / name for place, _, names in os.walk(base) for name in sorted(names)]
    found: dict[str, Path] = {}
    for glob in spec.files:
        rule = pattern(glob)
        matching = [
            path
            for path in present
            if rule.fullmatch(os.path.relpath(path, base))
            and path.resolve().is_relative_to(prepared.source.resolve())
        ]
        if not matching:
            say(f"No matching report paths found for {glob}")
        for path in matching:
            found[path.name if spec.discard_paths else os.path.relpath(path, base)] = path
    return found


def _read(report: Report, spec: ReportSpec, files: dict[str, Path], say: Say) -> None:
    """Read the files; one that is unreadable, or none at all, leaves the report INCOMPLETE."""
    cases: list[tuple[str, formats.TestCase]] = []
    coverage: list[formats.Coverage] = []
    broken = not files
    for name, path in files.items():
        try:
            body = path.read_bytes()
            if report.type == "TEST":
                cases += [(name, case) for case in formats.tests(spec.file_format, body)]
            else:
                coverage += formats.coverage(spec.file_format, body)
        except (formats.ReportError, OSError) as error:
            say(f"Error processing report file {name}: not {spec.file_format}: {error}")
            broken = True
    if report.type == "TEST":
        report.keep_cases(cases)
    else:
        report.keep_coverage(coverage)
    if broken:
        report.status = "INCOMPLETE"


def _export(report: Report, files: dict[str, Path], session: Session, say: Say) -> None:
    """Copy the raw files to the bucket that the report group names."""
    if report.export.get("exportConfigType") != "S3" or not files:
        return
    target = report.export["s3Destination"]
    place = "/".join(
        part
        for part in (
            target.get("path", "").strip("/"),
            report.arn.rpartition("/")[2].replace(":", "/"),
        )
        if part
    )
    encryption = {} if target.get("encryptionDisabled") else {"ServerSideEncryption": "aws:kms"}
    if target.get("encryptionKey") and encryption:
        encryption["SSEKMSKeyId"] = target["encryptionKey"]
    s3 = session.client("s3")
    try:
        for name, body in _packed(target.get("packaging"), files).items():
            s3.put_object(Bucket=target["bucket"], Key=f"{place}/{name}", Body=body, **encryption)
    except (ClientError, BotoCoreError, OSError) as error:
        say(f"Error exporting report {report.arn}: {error}")


def _packed(packaging: str | None, files: dict[str, Path]) -> dict[str, bytes]:
    if packaging != "ZIP":
        return {name: path.read_bytes() for name, path in files.items()}
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            archive.write(path, name)
    return {"report.zip": output.getvalue()}
