"""Policies that are no policies are refused where they are put, in each service's own words.

One that was kept would lock out everyone, or, in a statement that allows, be of no use without a word.
AWS pages: "Errors" of the operations that put a policy, in each service's API Reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jmespath

from labkit.cloud.front import operations
from labkit.cloud.front.operations import Operations
from labkit.cloud.iam import documents, state
from labkit.cloud.iam.documents import Fault, Kind, NotOfTheGrammar
from labkit.cloud.shared.service import AWSError

_LOOK = {"role": state.role, "user": state.user}


def start_stacks() -> None:
    """Have CloudFormation check the policies in templates as well: called once, when it is first asked for."""
    from labkit.cloud.cloudformation import stacks

    def of_service(service: str, operation: str, given: Mapping[str, Any]) -> None:
        if (table := operations.of(service)) is not None:
            check(table, operation, given)

    stacks.start(of_service)


def check(table: Operations, operation: str, given: Mapping[str, Any]) -> None:
    """Refuse an operation whose policy is not of the grammar, or names who is not there.

    Raises:
        AWSError: with the service's own code and words for it.
    """
    for kind, places in table.policies.items():
        text = jmespath.search(places[operation], given) if operation in places else None
        if not text or not isinstance(text, str):
            continue
        try:
            documents.check(text, Kind(kind))
            if kind != Kind.IDENTITY:
                _check_principals(text)
            if within := table.within.get(operation):
                _check_resources(text, within.format(**given))
        except NotOfTheGrammar as error:
            raise _refused(table, kind, error) from error


def _check_principals(text: str) -> None:
    """A user or role has to be there, where the lab knows the account: AWS keeps their ids, not their names."""
    for kind, name in documents.principals(text):
        arn = state.parsed(name)
        if arn is None or arn.kind not in _LOOK or arn.service != "iam":
            continue
        known = state.backend("iam", arn.account_id, "") is not None
        found = _LOOK[arn.kind](arn.account_id, arn.rest.rpartition("/")[2])
        if known and getattr(found, "arn", None) != name:
            raise NotOfTheGrammar(Fault.PRINCIPAL, f'"{kind}":"{name}"')


def _check_resources(text: str, within: str) -> None:
    for resource in documents.resources(text):
        if resource != within and not resource.startswith((f"{within}/", f"{within}*")):
            raise NotOfTheGrammar(Fault.RESOURCE, resource)


def _refused(table: Operations, kind: str, error: NotOfTheGrammar) -> AWSError:
    words = (f"{kind}: {error.fault}", error.fault, "*")
    code, message = next(table.malformed[one] for one in words if one in table.malformed).split(
        ": ", 1
    )
    return AWSError(code, message.replace("{}", error.what))
