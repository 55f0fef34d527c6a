"""What CodePipeline's operations share: the account's state, and who started an execution."""

from __future__ import annotations

from typing import Any, NoReturn

from labkit.cloud.codepipeline.models import CodePipelineBackend, codepipeline_backends
from labkit.cloud.service import AWSError, Service

Answer = dict[str, Any]


class Operations(Service):
    boto3_name = "codepipeline"

    @property
    def backend(self) -> CodePipelineBackend:
        return codepipeline_backends[self.current_account][self.region]

    def trigger(self, kind: str) -> dict[str, str]:
        """Who started an execution, as its `trigger` shows them."""
        if self.principal.invoked_by == "events.amazonaws.com":
            rule = self.principal.source_arn or ""
            return {"triggerType": "CloudWatchEvent", "triggerDetail": rule}
        return {"triggerType": kind, "triggerDetail": self.principal.arn}


def invalid(message: str) -> NoReturn:
    """Refuse a request.

    Raises:
        AWSError: ValidationException.
    """
    raise AWSError("ValidationException", message)


def tag_map(tags: list[Answer] | None) -> dict[str, str]:
    """Tags as a request lists them, by key."""
    return {tag["key"]: tag["value"] for tag in tags or []}
