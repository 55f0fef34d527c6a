"""ARNs from their pattern and the names that parameters give.

AWS page: "Identify AWS resources with Amazon Resource Names (ARNs)".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.cloud.iam.asked.reference import PLACEHOLDER

PLACES = ("Partition", "Region", "Account")


@dataclass(frozen=True)
class Pattern:
    """Of one resource type.

    Args:
        text: with its placeholders; empty for what is always named by its ARN.
        whole: whether an ARN may stand where the last name would.
    """

    text: str
    whole: bool

    @property
    def names(self) -> list[str]:
        """The placeholders, without those of `PLACES`."""
        return [name for name, _ in PLACEHOLDER.findall(self.text) if name not in PLACES]


def filled(
    pattern: Pattern, names: Mapping[str, Any], place: Mapping[str, str], ids: Mapping[str, str]
) -> Iterator[str]:
    """The ARNs: one, or one for each item where a name is a list.

    Args:
        names: placeholder -> name, or several; `*` stands for one that is not there.
        place: Partition, Region and Account, unless `names` has them.
        ids: what tells the type of a resource whose ARN is not given (`i-0123`, `instance/*`) -> pattern.
    """
    listed = [len(value) for value in names.values() if isinstance(value, list) and value]
    for index in range(max(listed, default=1)):
        one = {name: _item(value, index) for name, value in names.items()}
        last = list(one.values())[-1] if one else None
        if pattern.whole and isinstance(last, str) and last.startswith("arn:"):
            yield from dict.fromkeys([last, _here(last, place["Region"])])
        elif pattern.text:
            yield _of_names(pattern.text, one, place)
        else:
            yield _of_id(str(last), place, ids)


def _item(value: Any, index: int) -> Any:
    if not isinstance(value, list):
        return value
    return value[index] if index < len(value) else None


def _here(arn: str, region: str) -> str:
    """The ARN in the Region that is asked, where the request may act whatever the ARN says."""
    parts = arn.split(":", 5)
    if len(parts) == 6 and parts[3]:
        parts[3] = region
    return ":".join(parts)


def _of_names(text: str, names: Mapping[str, Any], place: Mapping[str, str]) -> str:
    known = {**place, **{name: str(value) for name, value in names.items() if value}}
    return PLACEHOLDER.sub(lambda found: known.get(found[1], "*"), text)


def _of_id(text: str, place: Mapping[str, str], ids: Mapping[str, str]) -> str:
    kind, _, name = text.partition("/")
    if not name:
        kind, name = kind.partition("-")[0], kind
    by_id = Pattern(ids.get(kind, "*"), whole=False)
    return _of_names(by_id.text, dict.fromkeys(by_id.names, name), place)
