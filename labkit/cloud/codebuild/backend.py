"""What an account keeps of CodeBuild in a Region."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from moto.core.base_backend import BackendDict, BaseBackend

from labkit.cloud.codebuild.batch.models import Batch
from labkit.cloud.codebuild.models import Build, Fields, Project, SourceCredentials
from labkit.cloud.codebuild.reports.models import Report, ReportGroup
from labkit.cloud.shared.service import AWSError


class CodeBuildBackend(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.projects: dict[str, Project] = {}
        self.builds: dict[str, Build] = {}  # by id, oldest first
        self.tokens: dict[str, tuple[datetime, Build]] = {}  # idempotency tokens of StartBuild
        self.batches: dict[str, Batch] = {}  # by id, oldest first
        self.batch_tokens: dict[str, tuple[datetime, Fields, Batch]] = {}
        self.expected: dict[str, Callable[[], Build]] = {}  # builds that batches ask for
        self.report_groups: dict[str, ReportGroup] = {}  # by ARN
        self.reports: dict[str, Report] = {}  # by ARN, oldest first
        self.policies: dict[str, str] = {}  # resource policies, by ARN
        self.credentials: dict[str, SourceCredentials] = {}  # by ARN
        self.lock = threading.RLock()

    @property
    def sign_ins(self) -> dict[str, str]:
        """`user:password` of each source type that there are credentials for."""
        return {item.server_type: item.basic for item in self.credentials.values()}

    def project(self, name_or_arn: str) -> Project:
        """The project of that name or ARN.

        Raises:
            AWSError: ResourceNotFoundException.
        """
        name = name_or_arn.rpartition("/")[2]
        if name not in self.projects:
            arn = f"arn:aws:codebuild:{self.region_name}:{self.account_id}:project/{name}"
            raise AWSError("ResourceNotFoundException", f"Project cannot be found: {arn}")
        return self.projects[name]

    def build(self, id_or_arn: str) -> Build | None:
        """The build of that id or ARN, or None."""
        return self.builds.get(id_or_arn.rpartition("build/")[2])


codebuild_backends = BackendDict(CodeBuildBackend, "codebuild")
