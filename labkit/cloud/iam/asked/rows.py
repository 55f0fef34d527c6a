"""Which questions an operation asks, as tables: a file a service, named as boto3 names it.

    prefix      what its actions begin with, where that is not the file's name
    like        the service whose table it shares
    tags        where tags, or the keys of tags, stand in an operation's parameters
    whole       the resource types that parameters may name by their ARN
    resources   resource type -> what names it. An expression fills the one placeholder of its ARN's
                pattern; a list fills them in order; a table by their names, Account and Region too.
                `any` is what is named by its ARN, or, with `ids`, by an id or as `instance/*`
    ids         prefix of an id -> resource type
    keys        condition key -> its value, for the actions that AWS says have it
    operations  operation -> its questions: a resource type, `*`, a table, or a list of these. In a table:
                  action   if it is not named as the operation; with its service if it is another's
                  on       a resource type, or a table of types with what names them here
                  each     a list: one question for each item, which is then `each`
                  when     what must hold, else it is not asked
                  keys     condition keys of this question alone
                  whole    in place of the file's
                or, of a KMS key that the service asks for who asks the service (`kms:ViaService`):
                  uses     what of: `GenerateDataKey`, or a list
                  key      the ARN of the key; nothing is asked where there is none
                  context  the encryption context, if what is asked for tells it
                An empty list: AWS asks nothing.
    passes_to   the service principal that roles are handed to
    roles       operation -> the roles it hands over (iam:PassRole); `{role, to}` if to another service
    tagging     operation -> the action asked beside it, when it tags what it makes at once

An operation without a row is an action of the same name on the types that AWS requires. Expressions are
those of `expressions`. What they `find`, by kind:

    autoscaling:group            name -> ARN            autoscaling:instance-group   instance id -> ARN of its group
    cloudformation:change-set    ARN -> ARN of its stack  cloudformation:physical    physical id -> ARN of its stack
    codedeploy:deployment        id -> ARN of its group   codedeploy:deployment-config  App/Group -> name of its configuration
    ec2:launch-template          name -> id               ec2:launch-template-roles  `ID:VERSION`, or a name's -> ARNs
    ec2:association              id -> id of its instance ec2:route-table            id of an association -> id
    ec2:security-group           name -> id               ec2:key-pair               id -> name
    ecs:task-definition          family or ARN -> ARN     ecs:task-definition-roles  the same -> ARNs of its two roles
    iam:user, iam:role, iam:group, iam:instance-profile   name -> ARN
    iam:access-key               its id -> ARN of its user
    iam:instance-profile-roles   name or ARN -> ARNs      iam:caller                 `user` -> ARN of the user who asks
    iam:user-boundary, iam:role-boundary                  name -> ARN of the boundary
    kms:key                      id, ARN or alias -> ARN  kms:ciphertext             blob -> ARN of its key
    organizations:id             of a root, unit, account or policy -> ARN
    organizations:policy-type    id of a policy -> `SERVICE_CONTROL_POLICY`
    s3:upload                    upload id -> the parameters of its CreateMultipartUpload
    s3:encrypts-with             `BUCKET ALGORITHM KEY` of a request -> ARN of the KMS key that it is encrypted with
    s3:encrypted-with            `BUCKET VERSION KEY` of an object -> ARN of the KMS key that it was encrypted with
    secretsmanager:secret        name or ARN -> ARN       secretsmanager:key         the same -> ARN of its KMS key
    sns:key, sqs:key             ARN of a topic, URL of a queue -> ARN of its KMS key
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from labkit.cloud.iam.asked import reference
from labkit.cloud.iam.asked.arns import Pattern
from labkit.cloud.iam.asked.expressions import named

PASS_ROLE = "iam:PassRole"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One question, or one for each of several resources.

    Args:
        on: resource type -> placeholder -> what fills it; empty where there is no resource level.
        when: what must hold.
    """

    action: str
    on: Mapping[str, Mapping[str, str]]
    whole: frozenset[str] = frozenset()
    when: tuple[str, ...] = ()
    each: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return self.action.partition(":")[0]

    def pattern(self, kind: str) -> Pattern:
        """Of the ARN of one of its resource types."""
        if kind == "any":
            return Pattern("", whole=True)
        return Pattern(reference.pattern(self.service, kind), kind in self.whole)


class Table:
    """What a service's file says."""

    def __init__(self, content: Mapping[str, Any], prefix: str) -> None:
        self.prefix = str(content.get("prefix", prefix))
        self.tags = content.get("tags")
        self.keys = _lower(content.get("keys", {}), self.prefix)
        if self.tags:
            self.keys["aws:requesttag/${tagkey}"] = f"tags({self.tags})"
            self.keys["aws:tagkeys"] = f"tag_keys({self.tags})"
        self.operations: Mapping[str, Any] = content.get("operations", {})
        self.roles: Mapping[str, Any] = content.get("roles", {})
        self.tagging: Mapping[str, str] = content.get("tagging", {})
        self.resources: Mapping[str, Any] = content.get("resources", {})
        self._whole = frozenset(content.get("whole", ()))
        self._passes_to = content.get("passes_to")
        self.ids = {
            one: reference.pattern(self.prefix, kind)
            for prefix, kind in content.get("ids", {}).items()
            for one in (prefix, kind)
        }
        self.rows = cache(self._rows)
        self._keys_of: dict[tuple[int, str], list[tuple[str, str, frozenset[str]]]] = {}

    def keys_of(self, row: Row, kind: str) -> list[tuple[str, str, frozenset[str]]]:
        """The condition keys that a question of a row has on a resource type.

        Returns:
            The key, the expression of its value, and the members that the expression names.
        """
        at = id(row), kind  # rows live as long as their table
        if at not in self._keys_of:
            known = self.keys if row.service == self.prefix else {}
            listed = reference.condition_keys(row.action, kind)
            self._keys_of[at] = [
                (key, expression, named(expression))
                for key, expression in {**known, **row.keys}.items()
                if key in listed
            ]
        return self._keys_of[at]

    def _rows(self, operation: str) -> tuple[list[Row], list[Row]]:
        """The rows that stand for an operation itself, and those asked beside it."""
        action = f"{self.prefix}:{operation}"
        if operation in self.operations:
            given = _listed(self.operations[operation])
            themselves = [self._row(one, action) for some in given for one in self._written(some)]
        else:
            types = reference.resource_types(action) or {}
            required = [kind for kind, is_required in types.items() if is_required]
            themselves = [self._row({"on": kind}, action) for kind in required or ["*"]]
        own = [row for row in themselves if row.action == action] or themselves[:1]
        return themselves, [*self._tagging(operation, own), *self._passing(operation)]

    def _written(self, row: Any) -> Iterator[Any]:
        """A row as it stands; of a key that is used, what that is short for."""
        if isinstance(row, str) or "uses" not in row:
            yield row
            return
        keys = {
            "kms:ViaService": f"join('.', ['{self.prefix}', request.region, 'amazonaws.com'])",
            "kms:CallerAccount": "request.account",
        }
        if "context" in row:
            keys["kms:EncryptionContext:${EncryptionContextKey}"] = row["context"]
        for use in _listed(row["uses"]):
            when = row["key"] if "when" not in row else f"({row['when']}) && ({row['key']})"
            key = {"whole": ["key"], "on": {"key": row["key"]}, "when": when}
            yield {"action": f"kms:{use}", "keys": keys, **key}

    def _row(self, given: Any, action: str) -> Row:
        row: Mapping[str, Any] = {"on": given} if isinstance(given, str) else given
        action = row.get("action", action)
        action = action if ":" in action else f"{self.prefix}:{action}"
        kinds = row.get("on", "*")
        if isinstance(kinds, str):
            kinds = {} if kinds == "*" else {kinds: self.resources.get(kinds, [])}
        return Row(
            action,
            {kind: _naming(action, kind, names) for kind, names in kinds.items()},
            frozenset(row.get("whole", self._whole)),
            (row["when"],) if "when" in row else (),
            row.get("each"),
            _lower(row.get("keys", {}), self.prefix),
        )

    def _tagging(self, operation: str, own: list[Row]) -> Iterator[Row]:
        if operation in self.tagging:
            for row in own:
                when = (*row.when, f"tag_keys({self.tags})")
                yield replace(row, action=f"{self.prefix}:{self.tagging[operation]}", when=when)

    def _passing(self, operation: str) -> Iterator[Row]:
        for one in _listed(self.roles.get(operation, [])):
            given = {"role": one} if isinstance(one, str) else one
            principal = given.get("to", self._passes_to)
            yield Row(
                PASS_ROLE,
                {"role": {"RoleNameWithPath": given["role"]}},
                frozenset(["role"]),
                (given["role"],),
                keys={"iam:passedtoservice": f"'{principal}'"},
            )


@cache
def of(service: str) -> Table:
    """The table of a service, by boto3's name; an empty one where it has no file."""
    content = _content(service)
    return Table(content | _content(content.get("like", service)), service)


def tables() -> Iterator[Path]:
    """The files of all services."""
    return _HERE.glob("*.toml")


def _content(service: str) -> dict[str, Any]:
    path = _HERE / f"{service}.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


def _naming(action: str, kind: str, names: Any) -> dict[str, str]:
    """Placeholder -> expression."""
    if isinstance(names, dict):
        return names
    given = [names] if isinstance(names, str) else names
    if kind == "any":
        return {"Id": given[0]}
    pattern = Pattern(reference.pattern(action.partition(":")[0], kind), whole=False)
    return dict(zip(pattern.names, given, strict=False))


def _lower(keys: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.replace("${Prefix}", prefix).lower(): value for key, value in keys.items()}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
