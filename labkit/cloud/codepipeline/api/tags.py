"""Tags of pipelines, webhooks and custom action types."""

from __future__ import annotations

from labkit.cloud.codepipeline.api.base import Answer, Operations, tag_map
from labkit.cloud.codepipeline.models import Pipeline
from labkit.cloud.service import AWSError


class Tags(Operations):
    def tag_resource(self, resourceArn: str, tags: list[Answer]) -> Answer:
        self._tagged(resourceArn).tags.update(tag_map(tags))
        return {}

    def untag_resource(self, resourceArn: str, tagKeys: list[str]) -> Answer:
        for key in tagKeys:
            self._tagged(resourceArn).tags.pop(key, None)
        return {}

    def list_tags_for_resource(
        self, resourceArn: str, nextToken: str | None = None, maxResults: int | None = None
    ) -> Answer:
        tags = self._tagged(resourceArn).tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    def _tagged(self, arn: str) -> Pipeline:
        name = arn.rpartition(":")[2]
        if name not in self.backend.pipelines:
            raise AWSError("ResourceNotFoundException", f"{arn} was not found")
        return self.backend.pipelines[name]
