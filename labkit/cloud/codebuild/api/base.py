"""What CodeBuild's operations share: the account's state, and who asks."""

from __future__ import annotations

from typing import Any

from labkit.cloud.codebuild.backend import CodeBuildBackend, codebuild_backends
from labkit.cloud.shared.service import Service

Answer = dict[str, Any]


class Operations(Service):
    boto3_name = "codebuild"

    @property
    def backend(self) -> CodeBuildBackend:
        return codebuild_backends[self.current_account][self.region]

    def initiator(self) -> str:
        """Who started it, as `initiator` shows them."""
        if self.principal.invoked_by == "codepipeline.amazonaws.com":
            return f"codepipeline/{(self.principal.source_arn or '').rpartition(':')[2]}"
        return self.principal.name
