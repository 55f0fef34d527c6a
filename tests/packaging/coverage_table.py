"""Writes docs/coverage.md from the code: which operations the local AWS answers. `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

from botocore import xform_name
from moto.core.utils import get_service_model

from labkit.cloud.cloudformation import template
from labkit.cloud.front import operations
from labkit.cloud.front.server import OURS
from labkit.cloud.front.services import SERVICES

PATH = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
_HEAD = """# Coverage

Written from the code by `make docs`; a test compares it. An operation that is refused answers
`UnknownOperationException` and does nothing.

The Code services are the lab's own. The services around them come from moto, and of those an operation
is let through because a case proves it (`tests/operations`): it *acts*, with an effect beyond its own
record; it *records*, keeping what it was asked and giving it back; or it *reads*. A test asks for every
operation of every service and finds no empty success and no inner error.
"""


def text() -> str:
    """The whole page."""
    ours = (line for name in sorted(OURS) for line in _ours(name))
    others = sorted(name for name in SERVICES.values() if name not in OURS)
    return "\n".join([_HEAD, *ours, *(line for name in others for line in _moto(name))]) + "\n"


def _ours(name: str) -> Iterator[str]:
    service, known = resolve_name(OURS[name]), get_service_model(name).operation_names
    answered = [item for item in known if hasattr(service, xform_name(item))]
    yield _title(service.__name__, answered, known)
    yield _line("Answered", answered)
    yield _line("Refused", [item for item in known if item not in answered])


def _moto(name: str) -> Iterator[str]:
    table, known = operations.of(name), get_service_model(name).operation_names
    assert table is not None, name
    yield _title(name, list(table.kinds), known)
    for kind in (operations.ACTS, operations.RECORDS, operations.READS):
        yield _line(kind.title(), sorted(item for item, one in table.kinds.items() if one == kind))
    refused = [item for item in known if item not in table.kinds]
    yield _line("Refused", refused if len(refused) < 200 else ["all others"])
    notes = dict(table.notes)
    for item, members in table.without.items():
        told = f"refused with {', '.join(members)}"
        notes[item] = f"{notes[item]}; {told}" if item in notes else told
    yield from (f"- {item}: {note}" for item, note in sorted(notes.items()))
    yield ""
    if name == "cloudformation":
        yield from _types()


def _types() -> Iterator[str]:
    yield "Types of resources, with the properties that they take; those that an update changes in brackets:\n"
    for kind, one in template.types().items():
        changes = f" ({', '.join(one['changes'])})" if "changes" in one else ""
        yield f"- {kind}: {', '.join(one['takes'])}{changes}"
    yield ""


def _title(name: str, answered: list[str], known: list[str]) -> str:
    return f"## {name}: {len(answered)} of {len(known)} operations\n"


def _line(kind: str, items: list[str]) -> str:
    return f"{kind}: {', '.join(items) or 'none'}.\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text())
