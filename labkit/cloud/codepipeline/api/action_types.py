"""Action types and rule types: list AWS's own, create and delete custom ones.

AWS pages: "Create and add a custom action in CodePipeline"; "Work with action types".
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codepipeline import catalogue
from labkit.cloud.codepipeline.api.base import Answer, Operations, check_tags, invalid, tag_map
from labkit.cloud.codepipeline.catalogue import Row
from labkit.cloud.shared.service import AWSError, page

# AWS page: "Quotas in AWS CodePipeline"
MAX_CUSTOM_TYPES = 50


class ActionTypes(Operations):
    def list_action_types(
        self,
        actionOwnerFilter: str | None = None,
        nextToken: str | None = None,
        regionFilter: str | None = None,
    ) -> Answer:
        rows = [
            row
            for row in catalogue.every(self.registry)
            if actionOwnerFilter in (None, row["owner"])
        ]
        items, token = page(rows, nextToken, None, 25)
        return {"actionTypes": [_action_type(row) for row in items], "nextToken": token}

    def list_rule_types(
        self, ruleOwnerFilter: str | None = None, regionFilter: str | None = None
    ) -> Answer:
        return {"ruleTypes": [_rule_type(row) for row in catalogue.rule_types()]}

    def create_custom_action_type(
        self,
        category: str,
        provider: str,
        version: str,
        inputArtifactDetails: Answer,
        outputArtifactDetails: Answer,
        settings: Answer | None = None,
        configurationProperties: list[Answer] | None = None,
        tags: list[Answer] | None = None,
    ) -> Answer:
        type_id = {
            "category": category,
            "owner": "Custom",
            "provider": provider,
            "version": version,
        }
        key = catalogue.key_of(type_id)
        known = self.registry.action_types
        if key in known and not known[key].get("deleted"):
            invalid(f"The custom action type {_name(type_id)} already exists")
        if key not in known and len(known) >= MAX_CUSTOM_TYPES:
            raise AWSError(
                "LimitExceededException",
                f"The account has reached the limit of {MAX_CUSTOM_TYPES} custom action types",
            )
        check_tags(tags)
        properties = configurationProperties or []
        _check_properties(properties)
        for what, details in (("input", inputArtifactDetails), ("output", outputArtifactDetails)):
            if details["minimumCount"] > details["maximumCount"]:
                invalid(f"The minimum count of {what} artifacts is greater than the maximum")
        row = {
            **type_id,
            "inputs": [inputArtifactDetails["minimumCount"], inputArtifactDetails["maximumCount"]],
            "outputs": [
                outputArtifactDetails["minimumCount"],
                outputArtifactDetails["maximumCount"],
            ],
            "required": [item["name"] for item in properties if item["required"]],
            "optional": [item["name"] for item in properties if not item["required"]],
            "secret": [item["name"] for item in properties if item["secret"]],
            "properties": properties,
            "settings": settings,
        }
        # AWS page: "DeleteCustomActionType": the same definition restores what was deleted
        if key in known and {**row, "deleted": True} != known[key]:
            invalid(f"The version {version} of a deleted custom action type cannot be used again")
        known[key] = row
        self.registry.tags[self.arn(f"actiontype:{_name(type_id)}")] = tag_map(tags)
        return {"actionType": _action_type(row), "tags": tags or []}

    def delete_custom_action_type(self, category: str, provider: str, version: str) -> Answer:
        row = self.registry.action_types.get((category, "Custom", provider, version))
        if row is not None:
            row["deleted"] = True  # its name and version are never free again
        return {}

    def get_action_type(self, category: str, owner: str, provider: str, version: str) -> Answer:
        row = self._third_party(category, owner, provider, version)
        return {"actionType": row.get("declaration") or _declaration(row, self.current_account)}

    def update_action_type(self, actionType: Answer) -> Answer:
        row = self._third_party(**actionType["id"])
        executor = actionType["executor"]
        if executor["type"] != "JobWorker":
            raise AWSError(
                "RequestFailedException",
                f"The lab's local AWS does not run action types with a {executor['type']} executor yet (nothing was done)",
            )
        properties = actionType.get("properties") or []
        inputs, outputs = actionType["inputArtifactDetails"], actionType["outputArtifactDetails"]
        changed = {
            **row,
            "inputs": [inputs["minimumCount"], inputs["maximumCount"]],
            "outputs": [outputs["minimumCount"], outputs["maximumCount"]],
            "required": [item["name"] for item in properties if not item["optional"]],
            "optional": [item["name"] for item in properties if item["optional"]],
            "secret": [item["name"] for item in properties if item["noEcho"]],
            "free": False,
            "declaration": actionType,
        }
        self.registry.action_types[catalogue.key_of(row)] = changed
        return {}

    def _third_party(self, category: str, owner: str, provider: str, version: str) -> Row:
        """Only the types of an integration with a provider can be read and updated so."""
        type_id = {"category": category, "owner": owner, "provider": provider, "version": version}
        row = catalogue.find(self.registry, type_id) if owner == "ThirdParty" else None
        if row is None:
            raise AWSError(
                "ActionTypeNotFoundException",
                f"The action type {_name(type_id)} with owner {owner} was not found",
            )
        return row


def _name(type_id: Answer) -> str:
    return f"{type_id['category']}/{type_id['provider']}/{type_id['version']}"


def _check_properties(properties: list[Answer]) -> None:
    names = [item["name"] for item in properties]
    if len(set(names)) < len(names):
        invalid("Configuration property names must be unique")
    queryable = [item for item in properties if item.get("queryable")]
    if len(queryable) > 1:
        invalid("An action type can have only one queryable configuration property")
    for item in queryable:
        if not item["required"] or item["secret"]:
            invalid(
                f"The queryable configuration property {item['name']} must be required and not secret"
            )


def _counts(bounds: list[int]) -> dict[str, int]:
    return {"minimumCount": bounds[0], "maximumCount": bounds[1]}


def _properties(row: Row) -> list[dict[str, Any]]:
    if "properties" in row:
        declared: list[dict[str, Any]] = row["properties"]
        return declared
    secret = catalogue.secret_keys(row)
    keys = [*((key, True) for key in row["required"]), *((key, False) for key in row["optional"])]
    return [
        {
            "name": key,
            "required": required,
            "key": required and key not in secret,
            "secret": key in secret,
            "queryable": False,
        }
        for key, required in keys
    ]


def _action_type(row: Row) -> Answer:
    answer = {
        "id": {key: row[key] for key in ("category", "owner", "provider", "version")},
        "actionConfigurationProperties": _properties(row),
        "inputArtifactDetails": _counts(row["inputs"]),
        "outputArtifactDetails": _counts(row["outputs"]),
    }
    if row.get("settings"):
        answer["settings"] = row["settings"]
    return answer


def _rule_type(row: Row) -> Answer:
    return {
        "id": {"category": "Rule", "owner": "AWS", "provider": row["provider"], "version": "1"},
        "ruleConfigurationProperties": _properties(row),
        "inputArtifactDetails": _counts(row["inputs"]),
    }


def _declaration(row: Row, account_id: str) -> Answer:
    workers = {"jobWorkerExecutorConfiguration": {"pollingAccounts": [account_id]}}
    return {
        "executor": {"configuration": workers, "type": "JobWorker"},
        "id": {key: row[key] for key in ("category", "owner", "provider", "version")},
        "inputArtifactDetails": _counts(row["inputs"]),
        "outputArtifactDetails": _counts(row["outputs"]),
        "properties": [
            {
                "name": item["name"],
                "optional": not item["required"],
                "key": item["key"],
                "noEcho": item["secret"],
            }
            for item in _properties(row)
        ],
    }
