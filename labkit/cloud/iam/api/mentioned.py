"""The condition keys that policies mention: in conditions, and as variables.

AWS pages: "GetContextKeysForCustomPolicy" in the IAM API Reference; "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from labkit.cloud.iam import documents

_VARIABLE = re.compile(r"\$\{\s*([^{},*?$]+?)\s*(?:,\s*'[^']*'\s*)?\}")


def keys(texts: Iterable[str]) -> list[str]:
    """Of policy documents, each key once, as it is first written.

    Args:
        texts: documents of the grammar.
    """
    read = [json.loads(text) for text in texts]
    found = (
        key
        for document in read
        for statement in documents.statements(document)
        for key in of_statement(statement, document)
    )
    return once(found)


def of_statement(statement: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """Of one statement; a document of before 2012 has no variables."""
    variables = document.get("Version") == "2012-10-17"
    if variables:
        yield from _variables([statement.get("Resource"), statement.get("NotResource")])
    for named in statement.get("Condition", {}).values():
        for key, values in named.items():
            yield key
            if variables:
                yield from _variables(values)


def once(found: Iterable[str]) -> list[str]:
    """Keys are the same in any case; the first way to write one stays."""
    names: dict[str, str] = {}
    for key in found:
        names.setdefault(key.lower(), key)
    return list(names.values())


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _VARIABLE.findall(value)
    elif isinstance(value, list):
        for one in value:
            yield from _variables(one)
