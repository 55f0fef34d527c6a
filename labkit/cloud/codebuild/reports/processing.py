"""What a build does with its reports, after POST_BUILD and before its artifacts.

A report that cannot be read, or that has failed tests, does not fail the build; a role that may not make it
does. The build makes it as its role, by operations that are in IAM's list of actions and, but for one, in no
client. AWS pages: "Working with reports in AWS CodeBuild"; "Test report permissions"; "Build specification
reference for CodeBuild", reports; for the words of a denial, aws/aws-cdk issue 7367.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.cloud.codebuild.artifacts import pattern
from labkit.cloud.codebuild.backend import CodeBuildBackend
from labkit.cloud.codebuild.buildspec import ReportSpec
from labkit.cloud.codebuild.models import Build, PhaseFailed
from labkit.cloud.codebuild.preparation import Prepared
from labkit.cloud.codebuild.reports import formats
from labkit.cloud.codebuild.reports.models import PUTS, Report, ReportGroup
from labkit.cloud.shared.clients import Session

MOST_GROUPS = 5  # of one build
_AT_A_TIME = 1000  # test cases
Say = Callable[[str], None]


def process(
    backend: CodeBuildBackend, build: Build, prepared: Prepared, session: Session, say: Say
) -> None:
    """Make every report of a build's buildspec.

    Raises:
        PhaseFailed: CLIENT_ERROR, the build's role may not.
    """
    denied = []
    for number, (name, spec) in enumerate(prepared.spec.reports.items()):
        if number >= MOST_GROUPS:
            say(f"Skipping report {name}: a build has at most {MOST_GROUPS} report groups")
            continue
        try:
            _one(backend, build, prepared, session, say, name, spec)
        except _ReportFailed as failed:
            say(f"Error processing report {name}: {failed}")
        except _Denied as refused:
            denied.append(f"[{name}: [{refused}]]")
    if denied:
        told = f"Error in UPLOAD_ARTIFACTS phase: {' '.join(denied)}"
        raise PhaseFailed("CLIENT_ERROR", told)


class _Denied(Exception):
    """The build's role may not do what a report needs."""


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
    api = _Api(session)
    group = _group(backend, build, api, name, kind)
    arn = api.create_report(group.arn, build.arn)
    report = backend.reports[arn]
    build.report_arns.append(arn)
    say(f"Preparing to copy {kind.replace('_', ' ')} report {group.name}")
    files = _files(prepared, spec, say)
    broken = _read(api, report, spec, files, say)
    api.update_report(arn, "INCOMPLETE" if broken else report.status)
    say(f"Report {arn}: {report.status}")
    _export(report, files, session, say)


@dataclass(frozen=True)
class _Api:
    """CodeBuild, as the build's role asks it."""

    session: Session

    def create_group(self, name: str, kind: str) -> None:
        codebuild = self.session.client("codebuild")
        # another build of the project may have been faster
        known = suppress(codebuild.exceptions.ResourceAlreadyExistsException)
        with _allowed("creating report group"), known:
            codebuild.create_report_group(
                name=name, type=kind, exportConfig={"exportConfigType": "NO_EXPORT"}
            )

    def create_report(self, group_arn: str, build_arn: str) -> str:
        given = {"reportGroupArn": group_arn, "buildArn": build_arn}
        return str(self._call("creating report", "CreateReport", given)["reportArn"])

    def put(self, arn: str, operation: str, member: str, found: list[Any]) -> None:
        """Put test cases, or the coverage of files: some at a time."""
        for start in range(0, max(len(found), 1), _AT_A_TIME):
            some = found[start : start + _AT_A_TIME]
            self._call("uploading report", operation, {"reportArn": arn, member: some})

    def update_report(self, arn: str, status: str) -> None:
        self._call("updating report", "UpdateReport", {"reportArn": arn, "status": status})

    def _call(self, doing: str, operation: str, given: dict[str, Any]) -> Any:
        with (
            _allowed(doing),
            self.session.call("codebuild", f"CodeBuild_20161006.{operation}", given) as answer,
        ):
            return json.load(answer)


@contextmanager
def _allowed(doing: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        raise _Denied(f"error {doing}: {told['Code']}: {told['Message']}") from error


def _group(backend: CodeBuildBackend, build: Build, api: _Api, name: str, kind: str) -> ReportGroup:
    """The group that a buildspec names: an ARN that is there, or one of the project's own."""
    arn = name
    if not name.startswith("arn:"):
        arn = f"{build.project.arn.replace(':project/', ':report-group/')}-{name}"
        if arn not in backend.report_groups:
            api.create_group(arn.rpartition("/")[2], kind)
    known = backend.report_groups.get(arn)
    if known is None:
        raise _ReportFailed(f"the report group {name} does not exist")
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


def _read(api: _Api, report: Report, spec: ReportSpec, files: dict[str, Path], say: Say) -> bool:
    """Read the files and put what they say; whether one is unreadable, or there is none at all."""
    found: list[dict[str, Any]] = []
    broken = not files
    tests = report.type == "TEST"
    for name, path in files.items():
        try:
            body = path.read_bytes()
            if tests:
                cases = formats.tests(spec.file_format, body)
                found += [{"file": name, **asdict(case)} for case in cases]
            else:
                found += map(asdict, formats.coverage(spec.file_format, body))
        except (formats.ReportError, OSError) as error:
            say(f"Error processing report file {name}: not {spec.file_format}: {error}")
            broken = True
    operation, member = PUTS[report.type]
    api.put(report.arn, operation, member, found)
    return broken


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
