"""Report groups and reports, as the API shows them.

AWS pages: "ReportGroup" and "Report" in the CodeBuild API Reference; "Quotas for AWS CodeBuild".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from labkit.cloud.codebuild.reports.formats import Coverage, TestCase

Fields = dict[str, Any]
LIFETIME = timedelta(days=30)
MOST_CASES, LONGEST_NAME, LONGEST_MESSAGE = 500, 1000, 5000
_BAD = ("FAILED", "ERROR")
# type of a report -> the operation that puts what is in it, and the operation's member
PUTS = {
    "TEST": ("BatchPutTestCases", "testCases"),
    "CODE_COVERAGE": ("BatchPutCodeCoverages", "codeCoverages"),
}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class ReportGroup:
    """Reports of one kind, TEST or CODE_COVERAGE, and where their files are exported to."""

    arn: str
    type: str
    export: Fields
    tags: list[Fields] = field(default_factory=list)
    created: datetime = field(default_factory=_now)
    modified: datetime = field(default_factory=_now)

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    def fields(self) -> Fields:
        return {
            "arn": self.arn,
            "name": self.name,
            "type": self.type,
            "exportConfig": self.export,
            "created": self.created,
            "lastModified": self.modified,
            "tags": self.tags,
            "status": "ACTIVE",
        }


@dataclass
class Report:
    """One report of one build."""

    arn: str
    group_arn: str
    type: str
    execution: str  # the build's ARN
    export: Fields
    status: str = "GENERATING"
    cases: list[tuple[str, TestCase]] = field(default_factory=list)  # with the file of each
    files: list[Coverage] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    nanoseconds: int = 0
    created: datetime = field(default_factory=_now)

    def keep_cases(self, found: list[tuple[str, TestCase]]) -> None:
        """Count more cases, and keep 500 of all, the failed ones first."""
        self.counts.update(case.status for _, case in found)
        self.nanoseconds += sum(case.nanoseconds for _, case in found)
        known = [*self.cases, *found]
        self.cases = sorted(known, key=lambda item: item[1].status not in _BAD)[:MOST_CASES]
        failed = any(self.counts[status] for status in _BAD)
        self.status = "FAILED" if failed else "SUCCEEDED"

    def keep_coverage(self, found: list[Coverage]) -> None:
        self.files = [*self.files, *found]
        self.status = "SUCCEEDED"

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def trend(self, name: str) -> float | None:
        """The value of a trend's field, or None where this report has none."""
        values: dict[str, float] = {}
        if self.type == "TEST" and self.status in ("SUCCEEDED", "FAILED"):
            good = self.counts["SUCCEEDED"]
            values = {
                "PASS_RATE": 100 * good / self.total if self.total else 0.0,
                "DURATION": float(self.nanoseconds),
                "TOTAL": float(self.total),
            }
        elif self.status == "SUCCEEDED":
            summary = self._coverage_summary()
            values = {
                "LINE_COVERAGE": summary["lineCoveragePercentage"],
                "LINES_COVERED": summary["linesCovered"],
                "LINES_MISSED": summary["linesMissed"],
                "BRANCH_COVERAGE": summary["branchCoveragePercentage"],
                "BRANCHES_COVERED": summary["branchesCovered"],
                "BRANCHES_MISSED": summary["branchesMissed"],
            }
        return values.get(name)

    def fields(self) -> Fields:
        shown: Fields = {
            "arn": self.arn,
            "type": self.type,
            "name": self.group_arn.rpartition("/")[2],
            "reportGroupArn": self.group_arn,
            "executionId": self.execution,
            "status": self.status,
            "created": self.created,
            "expired": self.created + LIFETIME,
            "exportConfig": self.export,
            "truncated": self.total > MOST_CASES,
        }
        if self.type == "TEST":
            shown["testSummary"] = {
                "total": self.total,
                "statusCounts": {
                    name: self.counts[name]
                    for name in ("SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN")
                },
                "durationInNanoSeconds": self.nanoseconds,
            }
        else:
            shown["codeCoverageSummary"] = self._coverage_summary()
        return shown

    def case_fields(self) -> list[Fields]:
        return [
            {
                "reportArn": self.arn,
                "testRawDataPath": path,
                "prefix": case.suite,
                "testSuiteName": case.suite,
                "name": case.name[:LONGEST_NAME],
                "status": case.status,
                "durationInNanoSeconds": case.nanoseconds,
                "message": case.message[:LONGEST_MESSAGE],
                "expired": self.created + LIFETIME,
            }
            for path, case in self.cases
        ]

    def coverage_fields(self) -> list[Fields]:
        return [
            {
                "id": f"{self.arn.rpartition(':')[2]}-{number}",
                "reportARN": self.arn,
                "filePath": str(PurePosixPath(item.path)),
                **_shares([item]),
                "expired": self.created + LIFETIME,
            }
            for number, item in enumerate(self.files)
        ]

    def _coverage_summary(self) -> Fields:
        return _shares(self.files)


def _shares(files: list[Coverage]) -> Fields:
    lines, missed = sum(f.lines_covered for f in files), sum(f.lines_missed for f in files)
    taken, untaken = sum(f.branches_covered for f in files), sum(f.branches_missed for f in files)
    return {
        "lineCoveragePercentage": _percentage(lines, missed),
        "linesCovered": lines,
        "linesMissed": missed,
        "branchCoveragePercentage": _percentage(taken, untaken),
        "branchesCovered": taken,
        "branchesMissed": untaken,
    }


def _percentage(covered: int, missed: int) -> float:
    return round(100 * covered / (covered + missed), 2) if covered + missed else 0.0
