"""Test reports and code coverage: the table of files, and the operations around them.

AWS pages: "Working with reports in AWS CodeBuild"; "Report" and "ReportGroup" in the CodeBuild API
Reference.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import tables

pytestmark = [pytest.mark.slow, pytest.mark.guests]

CASES = tables.read(Path(__file__).with_name("reports.yaml"))
GROUPS = 5  # that one build may have; see "Quotas for AWS CodeBuild"
JUNIT = '<testsuite><testcase name="{}" time="{}">{}</testcase></testsuite>'


def _content(given: Any) -> str | bytes:
    if isinstance(given, dict):
        return base64.b64decode(given["base64"])
    return re.sub(r"<(\d+) times (<[^>]+>|\w)>", lambda match: int(match[1]) * match[2], given)


Made = dict[str, tuple[dict[str, Any], list[str]]]


@pytest.fixture(scope="session")
def made(bench: Any) -> Callable[[dict[str, Any]], tuple[dict[str, Any], list[str]]]:
    """Gives the report of a case, and the log of the build that made it: five cases a build."""
    found: Made = {}

    def of(case: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        if case["name"] not in found:
            first = CASES.index(case) // GROUPS * GROUPS
            found.update(_made_by_a_build(bench, CASES[first : first + GROUPS]))
        return found[case["name"]]

    return of


def _made_by_a_build(bench: Any, group: list[dict[str, Any]]) -> Made:
    cases = {f"c{number}": case for number, case in enumerate(group)}
    files = {
        f"{key}/{name}": _content(text)
        for key, case in cases.items()
        for name, text in case["files"].items()
    }
    specs = {
        key: {"files": ["**/*"], "base-directory": case.get("base", key), **case.get("spec", {})}
        for key, case in cases.items()
    }
    build, log = _build(bench, files, {"reports": specs})
    reports = bench.codebuild.batch_get_reports(reportArns=build["reportArns"])["reports"]
    by_group = {report["name"].rpartition("-")[2]: report for report in reports}
    assert build["buildStatus"] == "SUCCEEDED", log
    return {case["name"]: (by_group[key], log) for key, case in cases.items()}


def _buildspec(spec: dict[str, Any]) -> str:
    nothing = {"version": 0.2, "phases": {"build": {"commands": ["true"]}}}
    return json.dumps({**nothing, **spec}) + "\n"


def _build(bench: Any, files: dict[str, Any], spec: dict[str, Any], **more: Any) -> Any:
    key = bench.upload({"keep": "", **files})
    source = {"type": "S3", "location": f"{bench.bucket}/{key}", "buildspec": _buildspec(spec)}
    build = bench.run(bench.project(source=source, **more))
    return build, bench.log(build)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_a_report_says(bench: Any, made: Any, case: dict[str, Any]) -> None:
    report, log = made(case)
    expect = case["expect"]
    assert report["status"] == expect["status"], log
    if "log" in expect:
        assert any(expect["log"] in line for line in log), log
    if "coverage" in expect:
        _check_coverage(bench, report, expect)
        return
    summary = report["testSummary"]
    if "counts" in expect:
        counts = {name: count for name, count in summary["statusCounts"].items() if count}
        assert counts == expect["counts"]
        assert summary["total"] == sum(counts.values())
    if "duration" in expect:
        assert summary["durationInNanoSeconds"] == expect["duration"]
    if "truncated" in expect:
        assert report["truncated"] is expect["truncated"]
    found = _cases(bench, report["arn"])
    assert len(found) == expect.get("kept", len(found))
    for shown, wanted in zip(found, expect.get("cases", []), strict=False):
        assert wanted.items() <= shown.items()
    for name, length in expect.get("lengths", {}).items():
        assert len(found[0][name]) == length


def _cases(bench: Any, arn: str, **more: Any) -> list[dict[str, Any]]:
    pages = bench.codebuild.get_paginator("describe_test_cases").paginate(reportArn=arn, **more)
    return [item for page in pages for item in page["testCases"]]


def _check_coverage(bench: Any, report: dict[str, Any], expect: dict[str, Any]) -> None:
    names = ("linesCovered", "linesMissed", "branchesCovered", "branchesMissed")
    assert [report["codeCoverageSummary"][name] for name in names] == expect["coverage"]
    found = bench.codebuild.describe_code_coverages(reportArn=report["arn"])["codeCoverages"]
    assert [item["filePath"] for item in found] == expect.get("paths", [])


def _junit(name: str, seconds: float = 1.0, *, good: bool = True) -> str:
    return JUNIT.format(name, seconds, "" if good else "<failure/>")


def _reported(bench: Any, project: str | None = None, good: bool = True, seconds: float = 1.0) -> Any:  # fmt: skip
    """A build with one report, of which one test fails unless it is `good`."""
    files = {"r/a.xml": _junit("steady"), "r/b.xml": _junit("other", seconds, good=good)}
    spec = {"reports": {"unit": {"files": ["r/*.xml"]}}}
    if project is None:
        return _build(bench, files, spec)
    key = bench.upload(files)
    bench.codebuild.update_project(
        name=project,
        source={"type": "S3", "location": f"{bench.bucket}/{key}", "buildspec": _buildspec(spec)},
    )  # fmt: skip
    build = bench.run(project)
    return build, bench.log(build)


def test_a_report_that_fails_does_not_fail_the_build(bench: Any) -> None:
    build, log = _reported(bench, good=False)
    assert build["buildStatus"] == "SUCCEEDED", log
    [report] = bench.codebuild.batch_get_reports(reportArns=build["reportArns"])["reports"]
    assert (report["status"], report["executionId"]) == ("FAILED", build["arn"])


def test_reports_of_a_build_that_failed(bench: Any) -> None:
    spec = {
        "phases": {"build": {"commands": ["false"]}},
        "reports": {"unit": {"files": ["r/*.xml"]}},
    }
    build, log = _build(bench, {"r/a.xml": _junit("t", good=False)}, spec)
    assert build["buildStatus"] == "FAILED"
    assert len(build["reportArns"]) == 1, log


def test_a_report_group_by_its_arn_and_its_kind(bench: Any) -> None:
    api = bench.codebuild
    group = api.create_report_group(
        name=f"own-{bench.bucket}", type="TEST", exportConfig={"exportConfigType": "NO_EXPORT"}
    )["reportGroup"]
    spec = {"reports": {group["arn"]: {"files": ["r/*.xml"]}}}
    build, _ = _build(bench, {"r/a.xml": _junit("t")}, spec)
    assert build["reportArns"][0].startswith(group["arn"].replace(":report-group/", ":report/"))
    spec["reports"][group["arn"]]["file-format"] = "CLOVERXML"
    build, log = _build(bench, {"r/a.xml": "<coverage/>"}, spec)
    assert build.get("reportArns", []) == []
    assert any("is of type TEST, not CODE_COVERAGE" in line for line in log)


def test_groups_that_are_not_there_too_many_and_of_no_known_format(bench: Any) -> None:
    missing = "arn:aws:codebuild:us-east-1:123456789012:report-group/none"
    spec = {f"r{number}": {"files": ["*.xml"]} for number in range(6)}
    build, log = _build(bench, {"a.xml": _junit("t")}, {"reports": spec})
    assert len(build["reportArns"]) == GROUPS
    assert any("at most 5 report groups" in line for line in log)
    more = {"reports": {missing: {"files": ["*"]}, "odd": {"files": ["*"], "file-format": "ODD"}}}
    build, log = _build(bench, {"a.xml": _junit("t")}, more)
    assert build["buildStatus"] == "SUCCEEDED"
    assert any("unknown file-format ODD" in line for line in log)
    assert any("does not exist" in line for line in log)


@pytest.mark.parametrize("packaging", ["NONE", "ZIP"])
def test_raw_files_are_exported(bench: Any, packaging: str) -> None:
    target = {"bucket": bench.bucket, "path": f"raw-{packaging}", "packaging": packaging}
    group = bench.codebuild.create_report_group(
        name=f"raw-{packaging}-{bench.bucket}", type="TEST",
        exportConfig={"exportConfigType": "S3", "s3Destination": target},
    )["reportGroup"]["arn"]  # fmt: skip
    _build(bench, {"r/a.xml": _junit("t")}, {"reports": {group: {"files": ["r/*.xml"]}}})
    listed = bench.aws.client("s3").list_objects_v2(Bucket=bench.bucket, Prefix=f"raw-{packaging}/")
    [key] = [item["Key"] for item in listed["Contents"]]
    if packaging == "ZIP":
        assert list(bench.unzip(key)) == ["r/a.xml"]
    else:
        assert key.endswith("/r/a.xml")


def test_groups_are_made_changed_listed_and_deleted(bench: Any) -> None:
    api, name = bench.codebuild, f"group-{bench.bucket}"
    none = {"exportConfigType": "NO_EXPORT"}
    made = api.create_report_group(name=name, type="TEST", exportConfig=none, tags=[{"key": "a", "value": "b"}])  # fmt: skip
    arn = made["reportGroup"]["arn"]
    assert arn == f"arn:aws:codebuild:us-east-1:123456789012:report-group/{name}"
    with pytest.raises(api.exceptions.ResourceAlreadyExistsException):
        api.create_report_group(name=name, type="TEST", exportConfig=none)
    with pytest.raises(ClientError, match="bucket"):
        api.update_report_group(arn=arn, exportConfig={"exportConfigType": "S3"})
    changed = api.update_report_group(arn=arn, tags=[{"key": "c", "value": "d"}])["reportGroup"]
    assert changed["tags"] == [{"key": "c", "value": "d"}]
    assert arn in api.list_report_groups(sortBy="CREATED_TIME", sortOrder="DESCENDING")["reportGroups"]  # fmt: skip
    got = api.batch_get_report_groups(reportGroupArns=[arn, f"{arn}-none"])
    assert [item["name"] for item in got["reportGroups"]] == [name]
    assert got["reportGroupsNotFound"] == [f"{arn}-none"]
    api.delete_report_group(arn=arn)
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.update_report_group(arn=arn)


def test_reports_are_listed_filtered_followed_and_deleted(bench: Any) -> None:
    api = bench.codebuild
    first, _ = _reported(bench, seconds=1)
    project = first["projectName"]
    second, _ = _reported(bench, project, good=False, seconds=3)
    [old], [new] = first["reportArns"], second["reportArns"]
    group = f"arn:aws:codebuild:us-east-1:123456789012:report-group/{project}-unit"

    def listed(**more: Any) -> list[str]:
        return api.list_reports_for_report_group(reportGroupArn=group, **more)["reports"]

    assert listed() == [new, old]
    assert listed(sortOrder="ASCENDING") == [old, new]
    assert listed(filter={"status": "FAILED"}) == [new]
    assert {old, new} <= set(api.list_reports()["reports"])
    page = api.list_reports_for_report_group(reportGroupArn=group, maxResults=1)
    rest = listed(maxResults=1, nextToken=page["nextToken"])
    assert (page["reports"], rest) == ([new], [old])
    assert [item["name"] for item in _cases(bench, new, filter={"status": "FAILED"})] == ["other"]
    assert [item["name"] for item in _cases(bench, new, filter={"keyword": "stead"})] == ["steady"]

    def trend(name: str) -> tuple[str, str, str]:
        stats = api.get_report_group_trend(reportGroupArn=group, trendField=name)["stats"]
        return stats["average"], stats["max"], stats["min"]

    assert trend("PASS_RATE") == ("75", "100", "50")
    assert trend("TOTAL") == ("2", "2", "2")
    assert trend("DURATION") == ("3e+09", "4e+09", "2e+09")
    with pytest.raises(ClientError, match="deleteReports"):
        api.delete_report_group(arn=group)
    api.delete_report(arn=old)
    assert api.batch_get_reports(reportArns=[old])["reportsNotFound"] == [old]
    api.delete_report_group(arn=group, deleteReports=True)
    assert api.batch_get_reports(reportArns=[new])["reports"] == []


def test_coverage_is_sorted_and_limited(bench: Any) -> None:
    metric = '<file path="{}"><metrics statements="10" coveredstatements="{}"/></file>'
    body = "".join(metric.format(name, count) for name, count in (("a", 9), ("b", 1), ("c", 5)))
    spec = {"reports": {"cover": {"files": ["*.xml"], "file-format": "CLOVERXML"}}}
    build, _ = _build(bench, {"c.xml": f"<coverage>{body}</coverage>"}, spec)
    [arn] = build["reportArns"]

    def paths(**more: Any) -> list[str]:
        found = bench.codebuild.describe_code_coverages(reportArn=arn, **more)["codeCoverages"]
        return [item["filePath"] for item in found]

    assert paths() == ["a", "b", "c"]
    assert paths(sortBy="LINE_COVERAGE_PERCENTAGE") == ["b", "c", "a"]
    assert paths(sortBy="LINE_COVERAGE_PERCENTAGE", sortOrder="DESCENDING") == ["a", "c", "b"]
    assert paths(minLineCoveragePercentage=40, maxLineCoveragePercentage=60) == ["c"]
    group = arn.replace(":report/", ":report-group/").rpartition(":")[0]
    shown = bench.codebuild.get_report_group_trend(reportGroupArn=group, trendField="LINE_COVERAGE")
    assert shown["stats"]["average"] == "50"


def test_resource_policies(bench: Any) -> None:
    api = bench.codebuild
    arn = api.create_report_group(
        name=f"policy-{bench.bucket}", type="TEST", exportConfig={"exportConfigType": "NO_EXPORT"}
    )["reportGroup"]["arn"]
    reading = {"Effect": "Allow", "Principal": {"AWS": "210987654321"}, "Resource": arn}
    policy = json.dumps({"Statement": {**reading, "Action": "codebuild:BatchGetReports"}})
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.get_resource_policy(resourceArn=arn)
    api.put_resource_policy(resourceArn=arn, policy=policy)
    assert api.get_resource_policy(resourceArn=arn)["policy"] == policy
    with pytest.raises(ClientError, match="not valid: no JSON"):
        api.put_resource_policy(resourceArn=arn, policy="no")
    api.delete_resource_policy(resourceArn=arn)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_test_cases", {"reportArn": "arn:aws:codebuild:us-east-1:123456789012:report/a:b"}),
        ("list_reports_for_report_group", {"reportGroupArn": "arn:aws:codebuild:us-east-1:123456789012:report-group/a"}),
        ("get_report_group_trend", {"reportGroupArn": "arn:aws:codebuild:us-east-1:123456789012:report-group/a", "trendField": "TOTAL"}),
    ],
)  # fmt: skip
def test_what_is_not_there(bench: Any, operation: str, parameters: dict[str, str]) -> None:
    with pytest.raises(bench.codebuild.exceptions.ResourceNotFoundException):
        getattr(bench.codebuild, operation)(**parameters)
