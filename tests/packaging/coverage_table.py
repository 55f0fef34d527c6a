"""Writes docs/coverage.md from the code: which operations the local AWS answers. `make docs`."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

from botocore import xform_name
from moto.core.utils import get_service_model

from labkit.cloud.front.server import OURS
from labkit.cloud.front.services import REFUSED, SERVICES

PATH = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
_HEAD = """# Coverage

Written from the code by `make docs`; a test compares it. An operation that is refused answers
`UnknownOperationException` and does nothing.
"""


def text() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, where in sorted(OURS.items()):
        service = resolve_name(where)
        operations = get_service_model(name).operation_names
        answered = [item for item in operations if hasattr(service, xform_name(item))]
        refused = [item for item in operations if item not in answered]
        parts += [
            f"## {service.__name__}: {len(answered)} of {len(operations)} operations\n",
            f"Answered: {', '.join(answered)}.\n",
            f"Refused: {', '.join(refused) or 'none'}.\n",
        ]
    others = sorted(name for name in SERVICES.values() if name not in OURS)
    parts += ["## The services around them\n", f"As moto has them: {', '.join(others)}.\n"]
    parts += ["Refused there, because moto would answer without doing them:\n"]
    parts += [f"- {name}: {', '.join(sorted(items))}" for name, items in sorted(REFUSED.items())]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text())
