"""What CodePipeline's operations share: the account's state, and who started an execution."""

from __future__ import annotations

from typing import Any, NoReturn

from labkit.cloud.codepipeline.models import CodePipelineBackend, codepipeline_backends
from labkit.cloud.codepipeline.registry import Registry, registries
from labkit.cloud.shared.service import AWSError, Service

Answer = dict[str, Any]


class Operations(Service):
    boto3_name = "codepipeline"

    @property
    def backend(self) -> CodePipelineBackend:
        return codepipeline_backends[self.current_account][self.region]

    @property
    def registry(self) -> Registry:
        return registries[self.current_account][self.region]

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


def check_tags(tags: list[Answer] | None) -> None:
    """Refuse more than fifty tags, a key twice, and AWS's own prefix.

    Raises:
        AWSError: TooManyTagsException, InvalidTagsException.
    """
    keys = [tag["key"] for tag in tags or []]
    if len(keys) > 50:
        raise AWSError("TooManyTagsException", "A resource cannot have more than 50 tags")
    if len(set(keys)) < len(keys) or any(key.lower().startswith("aws:") for key in keys):
        raise AWSError(
            "InvalidTagsException", "Tag keys must be unique and must not start with aws:"
        )
