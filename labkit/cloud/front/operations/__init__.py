"""Which operations the local AWS lets through to moto, as tables: a file a service (rule R1).

An operation is of one of three kinds. It *acts*: it has an effect beyond its own record, and the table
names the case that proves it. It *records*: it keeps what it was asked and gives it back. Or it
*reads*. What is in none is refused by name. `notes` say what is kept and not acted on; `without` are
members that the lab would have to act on and cannot, refused by name as well.

Our own services have a method for each operation that they answer, and no table.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ACTS, RECORDS, READS = "acts", "records", "reads"


@dataclass(frozen=True)
class Operations:
    """What the local AWS lets through to one of moto's services.

    Attributes:
        acts: case -> the operations that it proves.
        invalid: the code of the service's errors for input that its model does not allow.
        missing: the same, for a member that is not there.
        notes: operation -> what a learner has to know of it.
        without: operation -> the members that are refused, as JMESPath: `Protocol=email`.
        checks: operation, or `*` -> JMESPath of its input that must hold -> the error if it does not,
            as `Code: message`. For what AWS wants and the model does not say.
        policies: kind of `iam.documents` -> operation -> where a policy stands in its input, as JMESPath.
        within: operation -> the ARN that the resources of its policy are, or are in; `{Bucket}` is of its input.
        malformed: fault of `iam.documents`, or `*` -> the service's error for a policy that has it;
            `{}` stands for what is wrong.
    """

    invalid: str
    missing: str
    acts: Mapping[str, list[str]] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    notes: Mapping[str, str] = field(default_factory=dict)
    without: Mapping[str, list[str]] = field(default_factory=dict)
    checks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    policies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    within: Mapping[str, str] = field(default_factory=dict)
    malformed: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        acting = [name for names in self.acts.values() for name in names]
        of_kind = ((ACTS, acting), (RECORDS, self.records), (READS, self.reads))
        kinds = {name: kind for kind, names in of_kind for name in names}
        object.__setattr__(self, "kinds", kinds)


@cache
def of(boto3_name: str) -> Operations | None:
    """The table of a service; None for our own, whose methods say it."""
    path = Path(__file__).parent / f"{boto3_name}.toml"
    if not path.exists():
        return None
    table = tomllib.loads(path.read_text())
    table.setdefault("missing", table["invalid"])
    return Operations(**table)
