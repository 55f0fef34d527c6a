"""What is found in a policy, told as Access Analyzer tells it: the table's words, where it is, where to read on.

AWS pages: "ValidatePolicyFinding" in the IAM Access Analyzer API Reference; "IAM Access Analyzer policy
validation check reference".
"""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from labkit.cloud.accessanalyzer import checks
from labkit.cloud.accessanalyzer.locations import Places, position

_PAGE = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
)
_ANCHORS = {"WARNING": "general-warning"}
_ORDER = ("ERROR", "SECURITY_WARNING", "WARNING", "SUGGESTION")


def of(text: str, kind: str) -> list[dict[str, Any]]:
    """The findings in a policy, errors first.

    Args:
        text: the document, which need not be JSON.
        kind: `IDENTITY_POLICY`, `RESOURCE_POLICY` or `TRUST_POLICY`.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        at = position(text, error.pos)
        location = {"path": [], "span": {"start": at, "end": at}}
        values = {"index": at["offset"], "line": at["line"], "column": at["column"]}
        return [_told("JSON_SYNTAX_ERROR", location, values)]
    places = Places(text)
    found = [
        _told(one.code, places.of(one.path), one.values) for one in checks.findings(document, kind)
    ]
    return sorted(found, key=lambda one: _ORDER.index(one["findingType"]))


def _told(code: str, location: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    kind, details = _table()[code]
    level = _ANCHORS.get(kind, kind).lower().replace("_", "-")
    anchor = f"access-analyzer-reference-policy-checks-{level}-{code.lower().replace('_', '-')}"
    return {
        "findingDetails": details.format(**values),
        "findingType": kind,
        "issueCode": code,
        "learnMoreLink": f"{_PAGE}#{anchor}",
        "locations": [location],
    }


@cache
def _table() -> dict[str, tuple[str, str]]:
    table = tomllib.loads(Path(__file__).with_name("findings.toml").read_text())
    return {
        code: (kind, details) for kind, codes in table.items() for code, details in codes.items()
    }
