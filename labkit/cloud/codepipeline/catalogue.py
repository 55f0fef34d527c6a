"""Action types: AWS's own, third parties', and those an account has created.

A row says how many artifacts an action takes and makes and which configuration keys it has; every
check of a declaration starts from it.

AWS pages: "Valid action types and providers in CodePipeline"; "Action structure reference".
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from labkit.cloud.codepipeline.registry import Registry, TypeKey

Row = dict[str, Any]
SECRET = "****"


@cache
def _tables() -> dict[str, list[Row]]:
    text = files("labkit.cloud.codepipeline.actions").joinpath("catalogue.toml").read_text()
    tables = tomllib.loads(text)
    for row in tables["action"]:
        row.setdefault("owner", "AWS")
        row["version"] = "1"
    return tables


def predefined() -> list[Row]:
    """The action types that every account has."""
    return list(_tables()["action"])


def rule_types() -> list[Row]:
    """The types that a stage condition's rules may have."""
    return list(_tables()["rule"])


def rule_type(provider: str) -> Row | None:
    """The rule type of that provider, or None."""
    return next((row for row in _tables()["rule"] if row["provider"] == provider), None)


def key_of(type_id: dict[str, str]) -> TypeKey:
    """An actionTypeId as the registry's key."""
    return type_id["category"], type_id["owner"], type_id["provider"], type_id["version"]


def find(registry: Registry, type_id: dict[str, str]) -> Row | None:
    """The row of an actionTypeId: the account's own first, or None."""
    wanted = key_of(type_id)
    if wanted in registry.action_types:
        own = registry.action_types[wanted]
        return None if own.get("deleted") else own
    return next((row for row in _tables()["action"] if key_of(row) == wanted), None)


def every(registry: Registry) -> list[Row]:
    """All action types of the account."""
    own = [row for row in registry.action_types.values() if not row.get("deleted")]
    taken = set(registry.action_types)
    return [row for row in predefined() if key_of(row) not in taken] + own


def secret_keys(row: Row | None) -> list[str]:
    """The configuration keys that are never shown."""
    return list((row or {}).get("secret", ()))


def masked_configuration(registry: Registry, action: dict[str, Any]) -> dict[str, str]:
    """An action's configuration as read operations show it: secrets as ****."""
    secret = secret_keys(find(registry, action["actionTypeId"]))
    configuration = action.get("configuration") or {}
    return {key: SECRET if key in secret else value for key, value in configuration.items()}


def masked(registry: Registry, declaration: dict[str, Any]) -> dict[str, Any]:
    """A declaration as read operations show it: secrets as ****.

    AWS page: "GetPipeline".
    """
    stages = [
        {**stage, "actions": [_masked_action(registry, action) for action in stage["actions"]]}
        for stage in declaration["stages"]
    ]
    return {**declaration, "stages": stages}


def _masked_action(registry: Registry, action: dict[str, Any]) -> dict[str, Any]:
    if not action.get("configuration"):
        return action
    return {**action, "configuration": masked_configuration(registry, action)}


def unmasked(
    registry: Registry, declaration: dict[str, Any], known: dict[str, Any] | None
) -> dict[str, Any]:
    """A declaration whose **** are what the known declaration has in their places.

    AWS page: "UpdatePipeline".
    """
    before = {
        (stage["name"], action["name"]): action.get("configuration") or {}
        for stage in (known or {}).get("stages", ())
        for action in stage["actions"]
    }
    stages = []
    for stage in declaration["stages"]:
        actions = []
        for action in stage["actions"]:
            secret = secret_keys(find(registry, action["actionTypeId"]))
            kept = before.get((stage["name"], action["name"]), {})
            given = action.get("configuration") or {}
            filled = {
                key: kept.get(key, value) if key in secret and value == SECRET else value
                for key, value in given.items()
            }
            actions.append({**action, "configuration": filled} if given else action)
        stages.append({**stage, "actions": actions})
    return {**declaration, "stages": stages}
