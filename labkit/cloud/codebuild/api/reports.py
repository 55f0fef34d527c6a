"""Report groups and reports.

AWS pages: "Working with reports in AWS CodeBuild"; "CreateReportGroup" and its neighbours in the
CodeBuild API Reference.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException

from labkit.cloud.codebuild.api.base import Answer, Operations
from labkit.cloud.codebuild.declaration import invalid
from labkit.cloud.codebuild.reports.formats import Coverage, TestCase
from labkit.cloud.codebuild.reports.models import Report, ReportGroup
from labkit.cloud.iam import documents
from labkit.cloud.shared.service import AWSError, error_response, page

_MOST = 100


class Reports(Operations):
    def call_action(self) -> TYPE_RESPONSE:
        """Answer an operation, those among them that a build's role asks for and no client has.

        AWS page: "Test report permissions".
        """
        own = _OF_BUILDS.get(self._get_action())
        if own is None:
            return super().call_action()
        content_type = "application/x-amz-json-1.1"
        try:
            answer = own(self, **json.loads(self.body))
            return 200, {"Content-Type": content_type}, json.dumps(answer)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            unreadable = AWSError("InvalidInputException", f"Invalid input: {error}")
            return error_response("codebuild", unreadable, content_type)
        except ServiceException as error:
            return error_response("codebuild", error, content_type)

    # what a build makes

    def _create_report(self, reportGroupArn: str, buildArn: str) -> Answer:
        group = self._group(reportGroupArn)
        arn = f"{group.arn.replace(':report-group/', ':report/')}:{uuid.uuid4()}"
        self.backend.reports[arn] = Report(arn, group.arn, group.type, buildArn, group.export)
        return {"reportArn": arn}

    def _batch_put_test_cases(self, reportArn: str, testCases: list[Answer]) -> Answer:
        cases = [(one.pop("file"), TestCase(**one)) for one in testCases]
        self._report(reportArn).keep_cases(cases)
        return {}

    def _batch_put_code_coverages(self, reportArn: str, codeCoverages: list[Answer]) -> Answer:
        self._report(reportArn).keep_coverage([Coverage(**one) for one in codeCoverages])
        return {}

    def _update_report(self, reportArn: str, status: str) -> Answer:
        self._report(reportArn).status = status
        return {}

    # groups

    def create_report_group(
        self, name: str, type: str, exportConfig: Answer, tags: list[Answer] | None = None
    ) -> Answer:
        arn = self.arn(f"report-group/{name}")
        if arn in self.backend.report_groups:
            raise AWSError("ResourceAlreadyExistsException", f"Report group already exists: {arn}")
        group = ReportGroup(arn, type, _checked(exportConfig), tags or [])
        self.backend.report_groups[arn] = group
        return {"reportGroup": group.fields()}

    def update_report_group(
        self, arn: str, exportConfig: Answer | None = None, tags: list[Answer] | None = None
    ) -> Answer:
        group = self._group(arn)
        group.export = group.export if exportConfig is None else _checked(exportConfig)
        group.tags = group.tags if tags is None else tags
        return {"reportGroup": group.fields()}

    def delete_report_group(self, arn: str, deleteReports: bool = False) -> Answer:
        reports = [item.arn for item in self.backend.reports.values() if item.group_arn == arn]
        if reports and not deleteReports:
            invalid(f"Report group {arn} has reports: delete them first, or set deleteReports")
        for report in reports:
            del self.backend.reports[report]
        self.backend.report_groups.pop(arn, None)
        return {}

    def batch_get_report_groups(self, reportGroupArns: list[str]) -> Answer:
        known = self.backend.report_groups
        return {
            "reportGroups": [known[arn].fields() for arn in reportGroupArns if arn in known],
            "reportGroupsNotFound": [arn for arn in reportGroupArns if arn not in known],
        }

    def list_report_groups(
        self,
        sortOrder: str = "ASCENDING",
        sortBy: str = "NAME",
        nextToken: str | None = None,
        maxResults: int | None = None,
    ) -> Answer:
        keys = {
            "NAME": lambda group: group.name,
            "CREATED_TIME": lambda group: group.created,
            "LAST_MODIFIED_TIME": lambda group: group.modified,
        }
        found = sorted(
            self.backend.report_groups.values(), key=keys[sortBy], reverse=sortOrder == "DESCENDING"
        )
        items, token = _page(found, nextToken, maxResults)
        return {"reportGroups": [item.arn for item in items], "nextToken": token}

    def list_shared_report_groups(self, **_: Any) -> Answer:
        # of other accounts, and there is only this one
        return {"reportGroups": []}

    # reports

    def batch_get_reports(self, reportArns: list[str]) -> Answer:
        known = self.backend.reports
        return {
            "reports": [known[arn].fields() for arn in reportArns if arn in known],
            "reportsNotFound": [arn for arn in reportArns if arn not in known],
        }

    def list_reports(self, **request: Any) -> Answer:
        return self._listed(list(self.backend.reports.values()), **request)

    def list_reports_for_report_group(self, reportGroupArn: str, **request: Any) -> Answer:
        self._group(reportGroupArn)
        found = [item for item in self.backend.reports.values() if item.group_arn == reportGroupArn]
        return self._listed(found, **request)

    def delete_report(self, arn: str) -> Answer:
        self.backend.reports.pop(arn, None)
        return {}

    def describe_test_cases(
        self,
        reportArn: str,
        filter: Answer | None = None,
        nextToken: str | None = None,
        maxResults: int | None = None,
    ) -> Answer:
        wanted = filter or {}
        found = [
            case
            for case in self._report(reportArn).case_fields()
            if wanted.get("status") in (None, case["status"])
            and wanted.get("keyword", "").lower() in f"{case['prefix']} {case['name']}".lower()
        ]
        items, token = _page(found, nextToken, maxResults)
        return {"testCases": items, "nextToken": token}

    def describe_code_coverages(
        self,
        reportArn: str,
        sortOrder: str = "ASCENDING",
        sortBy: str = "FILE_PATH",
        minLineCoveragePercentage: float = 0,
        maxLineCoveragePercentage: float = 100,
        nextToken: str | None = None,
        maxResults: int | None = None,
    ) -> Answer:
        key = {"FILE_PATH": "filePath", "LINE_COVERAGE_PERCENTAGE": "lineCoveragePercentage"}[
            sortBy
        ]
        low, high = minLineCoveragePercentage, maxLineCoveragePercentage
        found = [
            item
            for item in self._report(reportArn).coverage_fields()
            if low <= item["lineCoveragePercentage"] <= high
        ]
        found.sort(key=lambda item: item[key], reverse=sortOrder == "DESCENDING")
        items, token = _page(found, nextToken, maxResults)
        return {"codeCoverages": items, "nextToken": token}

    def get_report_group_trend(
        self, reportGroupArn: str, trendField: str, numOfReports: int = _MOST
    ) -> Answer:
        self._group(reportGroupArn)
        newest = [
            report
            for report in reversed(self.backend.reports.values())
            if report.group_arn == reportGroupArn
        ][:numOfReports]
        values = {
            report.arn: value
            for report in newest
            if (value := report.trend(trendField)) is not None
        }
        if not values:
            return {"stats": {}, "rawData": []}
        stats = {
            "average": sum(values.values()) / len(values),
            "max": max(values.values()),
            "min": min(values.values()),
        }
        return {
            "stats": {name: f"{value:g}" for name, value in stats.items()},
            "rawData": [{"reportArn": arn, "data": f"{value:g}"} for arn, value in values.items()],
        }

    # who else may see projects and report groups

    def put_resource_policy(self, policy: str, resourceArn: str) -> Answer:
        try:
            documents.check(policy, documents.Kind.RESOURCE)
        except documents.NotOfTheGrammar as error:
            invalid(f"The resource policy is not valid: {error.what}")
        self._check_resource(resourceArn)
        self.backend.policies[resourceArn] = policy
        return {"resourceArn": resourceArn}

    def get_resource_policy(self, resourceArn: str) -> Answer:
        if resourceArn not in self.backend.policies:
            raise AWSError(
                "ResourceNotFoundException", f"Resource policy cannot be found: {resourceArn}"
            )
        return {"policy": self.backend.policies[resourceArn]}

    def delete_resource_policy(self, resourceArn: str) -> Answer:
        self.backend.policies.pop(resourceArn, None)
        return {}

    # within

    def _check_resource(self, arn: str) -> None:
        if ":report-group/" in arn:
            self._group(arn)
        else:
            self.backend.project(arn)

    def _group(self, arn: str) -> ReportGroup:
        if arn not in self.backend.report_groups:
            raise AWSError("ResourceNotFoundException", f"Report group cannot be found: {arn}")
        return self.backend.report_groups[arn]

    def _report(self, arn: str) -> Report:
        if arn not in self.backend.reports:
            raise AWSError("ResourceNotFoundException", f"Report cannot be found: {arn}")
        return self.backend.reports[arn]

    def _listed(
        self,
        found: list[Report],
        sortOrder: str = "DESCENDING",
        filter: Answer | None = None,
        nextToken: str | None = None,
        maxResults: int | None = None,
    ) -> Answer:
        wanted = (filter or {}).get("status")
        chosen = [report.arn for report in found if wanted in (None, report.status)]
        ordered = chosen if sortOrder == "ASCENDING" else chosen[::-1]
        items, token = _page(ordered, nextToken, maxResults)
        return {"reports": items, "nextToken": token}


def _page(found: list[Any], token: str | None, most: int | None) -> tuple[list[Any], str | None]:
    return page(found, token, most, _MOST, error_code="InvalidInputException")


def _checked(export: Answer) -> Answer:
    if export.get("exportConfigType") == "S3" and not (export.get("s3Destination") or {}).get(
        "bucket"
    ):
        invalid("Invalid exportConfig: s3Destination must have a bucket for export type S3")
    return export


_OF_BUILDS: dict[str, Callable[..., Answer]] = {
    "CreateReport": Reports._create_report,
    "BatchPutTestCases": Reports._batch_put_test_cases,
    "BatchPutCodeCoverages": Reports._batch_put_code_coverages,
    "UpdateReport": Reports._update_report,
}
