"""How tests read a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read(path: Path) -> Any:
    """The notebook at `path` as nbformat reads it: `.metadata`, `.cells` and their `.source`, `.outputs`."""
    import nbformat  # takes seconds, which no test should pay that reads none

    return nbformat.read(path, as_version=4)
