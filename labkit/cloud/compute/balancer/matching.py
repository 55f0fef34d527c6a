"""Which rule of a listener a request meets, and which target group a forward action chooses.

AWS page: "Condition types for listener rules".
"""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from aiohttp import web

Table = dict[str, Any]


def first_rule(rules: list[Table], request: web.BaseRequest) -> Table:
    """The first rule all of whose conditions hold; the last is the default, which has none."""
    if len(rules) == 1:
        return rules[0]
    return next(one for one in rules if all(_holds(part, request) for part in one["conditions"]))


def choose(action: Table) -> str | None:
    """The target group of a forward action, by weight; None if every weight is 0."""
    groups = weights(action)
    if not any(groups.values()):
        return None
    return random.choices(list(groups), list(groups.values()))[0]


def weights(action: Table) -> dict[str, int]:
    """The target groups of a forward action, each with its weight."""
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups")
    if not groups:
        return {action["TargetGroupArn"]: 1}
    return {one["TargetGroupArn"]: int(one.get("Weight", 1)) for one in groups}


def _holds(condition: Table, request: web.BaseRequest) -> bool:
    return _FIELDS[condition["Field"]](condition, request)


def _values(condition: Table, config: str) -> list[Any]:
    return condition.get("Values") or (condition.get(config) or {}).get("Values") or []


def _path(condition: Table, request: web.BaseRequest) -> bool:
    return _any(_values(condition, "PathPatternConfig"), request.path)


def _host(condition: Table, request: web.BaseRequest) -> bool:
    host = (request.host or "").partition(":")[0]
    return _any(_values(condition, "HostHeaderConfig"), host, any_case=True)


def _header(condition: Table, request: web.BaseRequest) -> bool:
    config = condition["HttpHeaderConfig"]
    found = request.headers.getall(config["HttpHeaderName"], [])
    return any(_any(config["Values"], one, any_case=True) for one in found)


def _method(condition: Table, request: web.BaseRequest) -> bool:
    return request.method in _values(condition, "HttpRequestMethodConfig")


def _query(condition: Table, request: web.BaseRequest) -> bool:
    for wanted in _values(condition, "QueryStringConfig"):
        for key, value in request.query.items():
            named = "Key" not in wanted or _fits(wanted["Key"], key, True)
            if named and _fits(wanted["Value"], value, True):
                return True
    return False


def _source(condition: Table, request: web.BaseRequest) -> bool:
    peer = ipaddress.ip_address(request.remote or "127.0.0.1")
    ranges = (ipaddress.ip_network(one, False) for one in _values(condition, "SourceIpConfig"))
    return any(peer in one for one in ranges)


_FIELDS: dict[str, Callable[[Table, web.BaseRequest], bool]] = {
    "path-pattern": _path,
    "host-header": _host,
    "http-header": _header,
    "http-request-method": _method,
    "query-string": _query,
    "source-ip": _source,
}


def _any(patterns: list[str], text: str, any_case: bool = False) -> bool:
    return any(_fits(pattern, text, any_case) for pattern in patterns)


def _fits(pattern: str, text: str, any_case: bool) -> bool:
    return bool(_compiled(pattern, any_case).fullmatch(text))


@cache
def _compiled(pattern: str, any_case: bool) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    source = "".join(parts.get(char) or re.escape(char) for char in pattern)
    return re.compile(source, re.DOTALL | (re.IGNORECASE if any_case else 0))
