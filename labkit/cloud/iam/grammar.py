"""Which versions of the policy language a policy may be of, and which values its conditions may have.

Inline and trust policies may be of 2008-10-17, or say nothing, which is the same; a managed policy
has to say 2012-10-17. moto asks that of all. AWS pages: "IAM JSON policy elements: Version"; "Grammar of
the IAM JSON policy language".
"""

from __future__ import annotations

import json
from functools import wraps
from typing import Any

from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.models import IAMBackend
from moto.iam.policy_validation import BaseIAMPolicyValidator

from labkit.cloud.shared.service import named


def start() -> None:
    """Put it in moto's place: called once, when the local AWS starts."""
    BaseIAMPolicyValidator._validate_version = lambda self: None  # type: ignore[method-assign]
    for name in ("create_policy", "create_policy_version"):
        _check_version(name)
    _take_numbers()


def _take_numbers() -> None:
    """moto takes texts alone for the values of a condition."""
    check = BaseIAMPolicyValidator._validate_condition_syntax

    def check_condition(statement: dict[str, Any]) -> None:
        block = statement.get("Condition")
        if isinstance(block, dict):
            block = {
                operator: {
                    key: str(value) if isinstance(value, int | float) else value
                    for key, value in keys.items()
                }
                if isinstance(keys, dict)
                else keys
                for operator, keys in block.items()
            }
            statement = {**statement, "Condition": block}
        check(statement)

    BaseIAMPolicyValidator._validate_condition_syntax = staticmethod(  # type: ignore[method-assign]
        check_condition
    )


def _check_version(name: str) -> None:
    real = getattr(IAMBackend, name)

    @wraps(real)
    def checked(self: Any, *arguments: Any, **keywords: Any) -> Any:
        document = named(real, self, *arguments, **keywords)["policy_document"]
        if _version(document) != "2012-10-17":
            raise MalformedPolicyDocument("Policy document must be version 2012-10-17 or greater.")
        return real(self, *arguments, **keywords)

    setattr(IAMBackend, name, checked)


def _version(document: Any) -> Any:
    """Of what is no JSON object, the newest: moto's own check says what is wrong with it."""
    try:
        return json.loads(document).get("Version")
    except (TypeError, ValueError, AttributeError):
        return "2012-10-17"
