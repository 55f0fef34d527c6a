"""The action types that pipelines may use."""

from __future__ import annotations

from labkit.cloud.codepipeline import declaration as rules
from labkit.cloud.codepipeline.api.base import Answer, Operations
from labkit.cloud.service import page


class ActionTypes(Operations):
    def list_action_types(
        self,
        actionOwnerFilter: str | None = None,
        nextToken: str | None = None,
        regionFilter: str | None = None,
    ) -> Answer:
        rows = rules.catalogue() if actionOwnerFilter in (None, "AWS") else []
        items, token = page(rows, nextToken, None)
        return {"actionTypes": [_action_type(row) for row in items], "nextToken": token}


def _action_type(row: Answer) -> Answer:
    keys = [*((key, True) for key in row["required"]), *((key, False) for key in row["optional"])]
    return {
        "id": {
            "category": row["category"],
            "owner": "AWS",
            "provider": row["provider"],
            "version": "1",
        },
        "actionConfigurationProperties": [
            {"name": key, "required": required, "key": False, "secret": False}
            for key, required in keys
        ],
        "inputArtifactDetails": dict(
            zip(("minimumCount", "maximumCount"), row["inputs"], strict=True)
        ),
        "outputArtifactDetails": dict(
            zip(("minimumCount", "maximumCount"), row["outputs"], strict=True)
        ),
    }
