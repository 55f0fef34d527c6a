"""What CodeBuild's operations share: the account's state, and its error for a wrong request."""

from __future__ import annotations

from typing import Any, NoReturn

from labkit.cloud.codebuild.models import CodeBuildBackend, codebuild_backends
from labkit.cloud.shared.service import AWSError, Service

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


def invalid(message: str) -> NoReturn:
    """Refuse a request.

    Raises:
        AWSError: InvalidInputException.
    """
    raise AWSError("InvalidInputException", message)
