"""What a request asks of IAM: its actions, the resources that they are on, and the condition keys.

Nothing here knows an account's state. The door has the service and the operation, reads the parameters as
botocore's model names them (`front.inputs`, of every protocol and for our own services too), and will call

    questions = asked(name, operation, parameters, account=owner, region=signed.region, find=find)

once a request, after the signature is checked and before the service is called; each question is then
decided by itself, with what it knows of the caller, the connection and the resource's tags added to `keys`,
and one that is refused refuses the request. A git client's operations are codecommit's `GitPull` and
`GitPush`, with `repositoryName` and, once git has named them, `references`.

Actions, resource types with the patterns of their ARNs, and which keys an action has, are those of AWS's
Service Authorization Reference (`reference`). Which parameter names a resource, and where an operation is
not named as its action, is in this directory's tables, a file a service (`rows`). What parameters do not
tell (`kms:ViaService`, the owner of a deployment's id, ...) is the caller's to find.

AWS pages: "Actions, resources, and condition keys for AWS services" (Service Authorization Reference);
"Required permissions for Amazon S3 API operations"; "Grant a user permissions to pass a role to an AWS
service" (IAM User Guide).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.cloud.iam.asked import arns, reference, rows
from labkit.cloud.iam.asked.expressions import Find, Reader, nothing, strings
from labkit.cloud.iam.asked.rows import Row, Table


@dataclass(frozen=True)
class Asked:
    """One question to IAM.

    Args:
        action: `codebuild:StartBuild`.
        resource: an ARN, or `*` where the action has no resource level.
        keys: the condition keys that follow from the parameters, in lower case, with their values.
    """

    action: str
    resource: str
    keys: Mapping[str, list[str]] = field(default_factory=dict)


def asked(
    service: str,
    operation: str,
    parameters: Mapping[str, Any],
    *,
    account: str,
    region: str,
    partition: str = "aws",
    find: Find = nothing,
) -> list[Asked]:
    """The questions that a request puts to IAM; all have to be allowed.

    Args:
        service: boto3's name of it.
        operation: botocore's name of it, or codecommit's `GitPull` and `GitPush`.
        parameters: as botocore's model of the operation names them.
        account: the account that resources named without one are in: the caller's.
        find: what is behind a name that the parameters alone do not tell: `find(kind, name)` gives the
            ARN, a list of them, or what else the kind says (the kinds stand in `rows`); None if there is
            no such thing, and the resource is then `*` where its name would be.

    Returns:
        Nothing, where AWS asks nothing (sts:GetCallerIdentity); else at least one question: an operation
        that has no row and is no action is decided against `*`.
    """
    table = rows.of(service)
    place = {"Partition": partition, "Region": region, "Account": account}
    asking = _Asking(table, operation, parameters, place, find)
    themselves, beside = table.rows(operation)
    questions = [one for row in themselves for one in asking.questions(row)]
    if themselves and not questions:
        questions = [Asked(themselves[0].action, "*")]
    questions += [one for row in beside for one in asking.questions(row)]
    return list({(one.action, one.resource, str(one.keys)): one for one in questions}.values())


class _Asking:
    """One request, as the rows read it."""

    def __init__(
        self,
        table: Table,
        operation: str,
        parameters: Mapping[str, Any],
        place: Mapping[str, str],
        find: Find,
    ) -> None:
        self.table, self.parameters, self.place = table, parameters, place
        self.request = {"operation": operation} | {
            name.lower(): value for name, value in place.items()
        }
        self.reader = Reader(find)

    def questions(self, row: Row) -> Iterator[Asked]:
        for data in self._each(row):
            if not all(self.reader.holds(one, data) for one in row.when):
                continue
            if not row.on:
                yield Asked(row.action, "*", self._keys(row, "", data))
            for kind, naming in row.on.items():
                data["request"] = self.request | {"type": kind}
                keys = self._keys(row, kind, data)
                names = {name: self.reader.read(one, data) for name, one in naming.items()}
                for arn in arns.filled(row.pattern(kind), names, self.place, self.table.ids):
                    yield Asked(row.action, arn, keys)

    def _each(self, row: Row) -> Iterator[dict[str, Any]]:
        data = {**self.parameters, "request": self.request}
        if row.each is None:
            yield data
            return
        items = self.reader.read(row.each, data)
        for item in items if isinstance(items, list) else []:
            yield {**data, "each": item}

    def _keys(self, row: Row, kind: str, data: Mapping[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, expression, names in self.table.keys_of(row, kind):
            if names and names.isdisjoint(data):
                continue
            if (value := self.reader.read(expression, data)) not in (None, []):
                found.update(_of_key(key, value))
        return found


def _of_key(key: str, value: Any) -> Iterator[tuple[str, list[str]]]:
    """A key with its values; one with a placeholder (`aws:requesttag/${tagkey}`) for each name."""
    placeholder = reference.PLACEHOLDER.search(key)
    if placeholder is None:
        yield key, strings(value)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield key.replace(placeholder[0], str(name).lower()), strings(one)
