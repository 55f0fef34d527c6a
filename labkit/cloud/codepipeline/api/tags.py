"""Tags of pipelines, webhooks and custom action types.

AWS page: "Tagging resources".
"""

from __future__ import annotations

from labkit.cloud.codepipeline.api.base import Answer, Operations, check_tags, tag_map
from labkit.cloud.shared.service import AWSError, page


class Tags(Operations):
    def tag_resource(self, resourceArn: str, tags: list[Answer]) -> Answer:
        known = self._tags(resourceArn)
        check_tags(tags)
        if len(known.keys() | tag_map(tags).keys()) > 50:
            raise AWSError("TooManyTagsException", "A resource cannot have more than 50 tags")
        known.update(tag_map(tags))
        return {}

    def untag_resource(self, resourceArn: str, tagKeys: list[str]) -> Answer:
        for key in tagKeys:
            self._tags(resourceArn).pop(key, None)
        return {}

    def list_tags_for_resource(
        self, resourceArn: str, nextToken: str | None = None, maxResults: int | None = None
    ) -> Answer:
        items, token = page(list(self._tags(resourceArn).items()), nextToken, maxResults)
        return {"tags": [{"key": key, "value": value} for key, value in items], "nextToken": token}

    def _tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource of this account and Region, to be read or changed."""
        name = arn.rpartition(":")[2]
        pipeline = self.backend.pipelines.get(name)
        if pipeline is not None and pipeline.arn == arn:
            return pipeline.tags
        if arn == self.arn(name):
            raise AWSError("ResourceNotFoundException", self.backend.not_included(name))
        if arn not in self.registry.tags:
            raise AWSError("ResourceNotFoundException", f"{arn} was not found")
        return self.registry.tags[arn]
