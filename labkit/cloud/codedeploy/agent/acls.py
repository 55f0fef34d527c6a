"""Access control lists and SELinux contexts of an appspec's permissions (rules A26-A30).

AWS page: "AppSpec 'permissions' section"; aws-codedeploy-agent, AceInfo and RangeInfo.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from labkit.cloud.codedeploy.agent import psych

_KINDS = {
    "u": "user",
    "user": "user",
    "g": "group",
    "group": "group",
    "m": "mask",
    "mask": "mask",
    "o": "other",
    "other": "other",
}
_DEFAULT = ("d", "default")
_OCTAL = [
    f"{'r' if n & 4 else '-'}{'w' if n & 2 else '-'}{'x' if n & 1 else '-'}" for n in range(8)
]
_MOST_CATEGORY = 1023


class InvalidEntry(Exception):
    """What the agent says of an entry that it refuses."""


@dataclass(frozen=True)
class AclEntry:
    """One entry: `[default:]user|group|mask|other:[name]:rwx`."""

    kind: str
    name: str
    permissions: str
    is_default: bool

    @property
    def text(self) -> str:
        prefix = "default:" if self.is_default else ""
        return f"{prefix}{self.kind}:{self.name}:{self.permissions}"


def entry(text: Any) -> AclEntry:
    """Read one entry of `acls`.

    Raises:
        InvalidEntry: what the agent would say.
        RubyError: it is not a text.
    """
    if not isinstance(text, str):
        raise psych.no_method("split", text)
    problem = (
        "The deployment failed because of a problem with the acls permission settings in the "
        "application specification file. "
    )
    invalid = InvalidEntry(f"{problem}Invalid acl entry ({text}).")
    parts = text.split(":")
    if not 2 <= len(parts) <= 4:
        raise invalid
    *front, who, letters = parts
    is_default = len(front) == 2
    if is_default and front[0] not in _DEFAULT:
        raise invalid
    kind = None
    if front:
        if front[-1] in _DEFAULT and not is_default:
            is_default = True
        elif front[-1] in _KINDS:
            kind = _KINDS[front[-1]]
        else:
            raise invalid
    name = who
    if _KINDS.get(who) in ("mask", "other"):
        name = _KINDS[who] if kind else ""
        kind = kind or _KINDS[who]
    kind = kind or "user"
    if kind in ("mask", "other") and name:
        raise invalid
    if not is_default and kind != "mask" and not name:  # A27
        raise InvalidEntry(
            f"{problem}Use mode to set the base acl entry ({text}). Update the permissions section "
            "of the AppSpec file, and then try again."
        )
    return AclEntry(kind, name, _permissions(text, letters), is_default)


def _permissions(text: str, letters: str) -> str:
    if len(letters) == 1 and letters in "01234567":
        return _OCTAL[int(letters)]
    for letter in letters:
        if letter not in "rwx-":
            raise InvalidEntry(
                f"The deployment failed because the access control list (ACL) named {text} in the "
                f"application specification file contains an invalid character ({letter}). Correct "
                "the ACL in the hooks section of the AppSpec file, and then try again."
            )
    return "".join(letter if letter in letters else "-" for letter in "rwx")


def check_context(context: Any) -> None:
    """Refuse a context without a type, or with a range that cannot be (A28, A29).

    Raises:
        InvalidEntry: what the agent would say.
        RubyError: it is not a mapping, or its range is no text.
    """
    if psych.at(context, "type") is None:
        raise InvalidEntry(
            "The deployment failed because the application specification file specifies an invalid "
            f"context type ({psych.inspect(context)}). Update the permissions section of the "
            "AppSpec file, and then try again."
        )
    given = psych.at(context, "range")
    if isinstance(given, (list, dict)):
        raise psych.no_method("split", given)
    if given is not None and not isinstance(given, str):
        raise psych.no_method("include?", given)
    if given is not None:
        _check_range(given)


def _check_range(text: str) -> None:
    sensitivity, *categories = _parts(text, ":")
    levels = [_number(part, "s", "sensitivity") for part in _parts(sensitivity, "-")]
    if levels[-1] < levels[0]:
        raise InvalidEntry(
            f"The deployment failed because of a problem with the SELinux range specified ({text}) "
            "for the context parameter in the permissions section of the application specification "
            "file. Make corrections in the permissions section of the AppSpec file, and then try "
            "again."
        )
    found: list[int] = []
    listed = "".join(categories).rstrip(",")
    for part in listed.split(",") if listed else ():
        ends = [_number(end, "c", "category", _MOST_CATEGORY) for end in _parts(part, ".")]
        if ends[-1] < ends[0]:
            raise InvalidEntry(f"invalid category range {part}")
        found += range(ends[0], ends[-1] + 1)
    if len(set(found)) < len(found):
        raise InvalidEntry("duplicate categories")


def _parts(text: str, separator: str) -> list[str]:
    parts = text.split(separator, 1)
    if not all(parts):
        raise InvalidEntry(f"invalid range part {text}")
    return parts


def _number(text: str, letter: str, name: str, most: float = math.inf) -> int:
    if not re.fullmatch(f"{letter}[0-9]+", text) or int(text[1:]) > most:
        raise InvalidEntry(f"invalid {name} {text}")
    return int(text[1:])
