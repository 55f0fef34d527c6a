"""YAML as the CodeDeploy agent reads it, and what its Ruby says of a value that is not as expected.

The agent calls `YAML.load` of the file. On Amazon Linux 2023 (Ruby 3.2, Psych 5) that is the first
document alone, without aliases, dates and Ruby's own classes; numbers may have commas, a leading
zero is octal and `22:30` counts seconds; an unknown tag says nothing; and a byte order mark shifts
the first line by a column, so that the lines after it belong to no document that is read. The
syntax is libyaml's, and so are the errors.

Source: ruby/psych 5.0, scalar_scanner.rb, visitors/to_ruby.rb and psych_parser.c; aws-codedeploy-agent,
application_specification.rb.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML without libyaml has its own words
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LONGEST_RECEIVER = 65  # characters that Ruby shows of what has no such method

_TEXT = re.compile(r"[^\d.:-]?[^\W\d]|[^\d.:-]?[\s!@#$%^&*(){}<>|/\\~;=]")
_TIME = re.compile(
    r"-?\d{4}-\d{1,2}-\d{1,2}(?:[Tt]|\s+)\d{1,2}:\d\d:\d\d(?:\.\d*)?"
    r"(?:\s*(?:Z|[-+]\d{1,2}:?(?:\d\d)?))?",
    re.ASCII,
)
_DATE = re.compile(r"(\d{4})-(1[012]|0\d|\d)-([12]\d|3[01]|0\d|\d)", re.ASCII)
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){1,2}(\.[0-9_]*)?")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_,]*)?\.[0-9]*([eE][-+][0-9]+)?")
_INTEGERS = {
    2: re.compile(r"[-+]?0b[0-1_,]+"),
    8: re.compile(r"[-+]?0[0-7_,]+"),
    10: re.compile(r"[-+]?(?:0|[1-9](?:[0-9]|,[0-9]|_[0-9])*)"),
    16: re.compile(r"[-+]?0x[0-9a-fA-F_,]+"),
}
_WORDS = {
    **dict.fromkeys(("~", "null"), None),
    **dict.fromkeys(("yes", "true", "on"), True),
    **dict.fromkeys(("no", "false", "off"), False),
}
_INFINITIES = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}
_CLASSES = {str: "String", int: "Integer", float: "Float", list: "Array", dict: "Hash"}


class RubyError(Exception):
    """What Ruby, or its YAML, says of a document that the agent cannot use."""


@dataclass(frozen=True)
class Symbol:
    """A Ruby symbol: `:linux` is not the text `linux`."""

    name: str


@dataclass(frozen=True)
class Key:
    """A list or mapping that is a key, as in `{{ placeholder }}`: all of it that matters is how it looks."""

    shown: str


def load(raw: bytes) -> Any:
    """The first document of a file; None of an empty one.

    Raises:
        RubyError: it is not YAML, or has what `YAML.load` refuses.
    """
    try:
        return _first_document(_events(raw))
    except yaml.reader.ReaderError as error:
        raise RubyError(f"(<unknown>): {error.reason} at line 1 column 1") from error
    except yaml.MarkedYAMLError as error:
        raise RubyError(_syntax_error(error)) from error
    except RecursionError as error:
        raise RubyError("stack level too deep") from error


def _events(raw: bytes) -> Iterator[yaml.Event]:
    if raw.startswith(_UTF16):
        raise RubyError("(<unknown>): invalid leading UTF-8 octet at line 1 column 1")
    if raw.startswith(codecs.BOM_UTF8):
        # PyYAML has libyaml take the first one away, and Ruby has it read as a column
        raw = codecs.BOM_UTF8 + raw
    return yaml.parse(raw, Loader=_Loader)


def _first_document(events: Iterator[yaml.Event]) -> Any:
    document = []
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent):
            break  # what comes after it is not even parsed
        document.append(event)
    inside = iter(document[2:])  # after the start of the stream, and of the document
    first = next(inside, None)
    return None if first is None else _value(first, inside)


def _syntax_error(error: yaml.MarkedYAMLError) -> str:
    """Ruby shows the place of libyaml's context; a parser's error may have none."""
    said = " ".join(filter(None, (error.problem, error.context)))
    mark = error.context_mark
    if mark is None and isinstance(error, yaml.scanner.ScannerError):
        mark = error.problem_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    return f"(<unknown>): {said} at line {line + 1} column {column + 1}"


def _value(event: yaml.Event, events: Iterator[yaml.Event]) -> Any:
    if isinstance(event, yaml.AliasEvent):
        raise RubyError(
            "Alias parsing was not enabled. To enable it, pass `aliases: true` to `Psych::load` or "
            "`Psych::safe_load`."
        )
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    assert isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent))
    _check_tag(event.tag)
    items = list(_items(events))
    if isinstance(event, yaml.SequenceStartEvent):
        return items
    found: dict[Any, Any] = {}
    for key, value in zip(items[::2], items[1::2], strict=True):
        if key == "<<" and isinstance(value, dict):
            found |= value
        else:
            found[Key(inspect(key)) if isinstance(key, (list, dict)) else key] = value
    return found


def _items(events: Iterator[yaml.Event]) -> Iterator[Any]:
    """The values that are left of a list or mapping."""
    for event in events:
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            return
        yield _value(event, events)


def _check_tag(tag: str | None) -> None:
    """Tags of Ruby's own classes are refused; of others nobody takes notice."""
    if tag == "tag:yaml.org,2002:set":
        raise RubyError("Tried to load unspecified class: Psych::Set")
    if tag and tag.startswith("!ruby/"):
        raise RubyError(f"Tried to load unspecified class: {tag.rpartition(':')[2]}")


def _scalar(event: yaml.ScalarEvent) -> Any:
    _check_tag(event.tag)
    text: str = event.value
    tag = (event.tag or "").removeprefix("tag:yaml.org,2002:").removeprefix("!")
    if tag == "str" or event.implicit[1]:  # in quotes, or a block
        return text
    return plain(text)


def plain(text: str) -> Any:
    """What Ruby makes of a scalar without quotes.

    Raises:
        RubyError: it is a date or a time.
    """
    if not text:
        return None
    if _TEXT.match(text) or "\n" in text:
        return _WORDS.get(text.lower(), text) if len(text) <= 5 else text
    if _TIME.fullmatch(text):
        raise RubyError("Tried to load unspecified class: Time")
    if _DATE.fullmatch(text):
        raise RubyError("Tried to load unspecified class: Date")
    if text.lower() in _INFINITIES:
        return _INFINITIES[text.lower()]
    if text.startswith(":") and len(text) > 1:
        return Symbol(text[1:].strip("\"'"))
    return _number(text)


def _number(text: str) -> Any:
    digits = re.sub("[,_]", "", text)
    if _SIXTIES.fullmatch(text):
        parts = [float(part) if "." in text else int(part) for part in digits.split(":")]
        return sum(part * 60 ** abs(place - 2) for place, part in enumerate(parts))
    if _FLOAT.fullmatch(text) and re.search("[0-9]", text):
        return float(digits)
    for base, pattern in _INTEGERS.items():
        if pattern.fullmatch(text):
            try:
                return int(digits, base)
            except ValueError as error:  # no digits but commas
                raise RubyError(f'invalid value for Integer(): "{digits}"') from error
    return text


def text(value: Any) -> str:
    """`to_s` of a value."""
    if value is None:
        return ""
    if isinstance(value, Symbol):
        return value.name
    return value if isinstance(value, str) else inspect(value)


def inspect(value: Any) -> str:
    """`inspect` of a value."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Key):
        return value.shown
    if isinstance(value, Symbol):
        name = value.name
        return f":{name if re.fullmatch('[a-zA-Z_][a-zA-Z0-9_]*[?!=]?', name) else inspect(name)}"
    if isinstance(value, list):
        return f"[{', '.join(map(inspect, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{inspect(key)}=>{inspect(of)}' for key, of in value.items())}}}"
    return str(value)


def kind(value: Any) -> str:
    """The name of a value's class."""
    if value is None:
        return "NilClass"
    if isinstance(value, bool):
        return f"{str(value).capitalize()}Class"
    return _CLASSES.get(type(value), "Symbol")


def either(value: Any, default: Any) -> Any:
    """`value || default`: only nil and false give way, an empty text or list does not."""
    return default if value is None or value is False else value


def no_method(name: str, value: Any) -> RubyError:
    """What Ruby says when a value has no such method."""
    shown = inspect(value)
    receiver = f"#<{kind(value)}>" if len(shown) > _LONGEST_RECEIVER else f"{shown}:{kind(value)}"
    return RubyError(f"undefined method `{name}' for {receiver}")


def no_text(value: Any) -> RubyError:
    """What Ruby says of a value that should be a text."""
    shown = inspect(value) if isinstance(value, bool) else kind(value)
    return RubyError(f"no implicit conversion of {shown} into String")


def each(value: Any) -> list[Any]:
    """What `each` gives of a value; of a mapping, its pairs.

    Raises:
        RubyError: the value has none.
    """
    if isinstance(value, dict):
        return [list(pair) for pair in value.items()]
    if not isinstance(value, list):
        raise no_method("each", value)
    return value


def at(value: Any, key: str) -> Any:
    """`value[key]`: of a text, the key itself if it is in it.

    Raises:
        RubyError: the value is of another kind.
    """
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, str):
        return key if key in value else None
    if isinstance(value, (list, int)) and not isinstance(value, bool):
        raise RubyError("no implicit conversion of String into Integer")
    raise no_method("[]", value)
