"""The learner's own way to the package registries: what guests get of it, and nothing else of theirs.

Two sources: the environment that the lab was started in, whose part goes into every guest's; and
the files of npm and pip, whose part goes into the home of each build, where a build's own settings
win over it as they would over the learner's.

Credentials stay where they are: keys that hold tokens or passwords are not taken, and a registry's
address loses the user and password in it. A build that needs them gets them as on AWS, from Secrets
Manager. A proxy's address keeps them, because without them nothing is reached at all; logs mask them.

Documentation: npm, "config" and "npmrc"; pip, "Configuration".
"""

from __future__ import annotations

import configparser
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

# how text is read and printed
_TEXT = {"LANG", "LC_ALL", "TZ", "TERM"}
# certificates that programs trust, and proxies, whichever program a variable is for
_SUFFIXES = ("CA_BUNDLE", "CERT_FILE", "CERT_DIR", "CERTS", "CAINFO", "_PROXY")
_NEVER = re.compile(r"AWS|TOKEN|SECRET|PASSWORD|_AUTH", re.IGNORECASE)
_NPM = {"registry", "proxy", "https-proxy", "noproxy", "cafile", "ca", "strict-ssl"}
_SCOPE = re.compile(r"@[^:]+:registry")
_PIP = {
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "proxy",
    "cert",
    "default-timeout",
    "timeout",
}
_CERTIFICATES = re.compile(r"(CA_BUNDLE|CERT_FILE|CERTS|CAINFO|CAFILE|CERT)$", re.IGNORECASE)
_PROXIES = re.compile(r"proxy$", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def environment() -> dict[str, str]:
    """The part of the machine's environment that guests see."""
    return {name: _without_user(name, value) for name, value in os.environ.items() if _passes(name)}


def npm() -> dict[str, str]:
    """What npm's own files say of registries and proxies; the learner's wins over the machine's."""
    found: dict[str, str] = {}
    for path in _npm_files():
        parser = _parser(delimiters=("=",))
        # npm's file has no sections, and a key of it may hold a colon
        found |= _read(parser, f"[npm]\n{_text(path)}").get("npm", {})
    taken = {key: value for key, value in found.items() if key in _NPM or _SCOPE.fullmatch(key)}
    return {key: _without_user(key, _filled(value)) for key, value in taken.items()}


def pip() -> dict[str, str]:
    """What pip's own files say of indexes and proxies, but for the machine's, which guests read."""
    found: dict[str, str] = {}
    for path in _pip_files():
        sections = _read(_parser(), _text(path))
        found |= sections.get("global", {}) | sections.get("install", {})
    plain = {key.replace("_", "-"): value for key, value in found.items()}
    return {key: _without_user(key, value) for key, value in plain.items() if key in _PIP}


def in_force(tool: str) -> dict[str, str]:
    """All that guests get of the settings of `npm` or `pip`; the environment's win over the files'."""
    prefix = {"npm": "npm_config_", "pip": "pip_"}[tool]
    own = {name.lower(): value for name, value in environment().items()}
    named = {
        name.removeprefix(prefix).replace("_", "-"): value
        for name, value in own.items()
        if name.startswith(prefix)
    }
    return {**(npm() if tool == "npm" else pip()), **named}


def certificates() -> list[Path]:
    """The files of certificates that the settings name."""
    own = environment()
    values = [value for name, value in own.items() if _CERTIFICATES.search(name)]
    values += [found[key] for found in (npm(), pip()) for key in ("cafile", "cert") if key in found]
    return [Path(value) for value in values if Path(value).is_absolute() and Path(value).exists()]


def files() -> Iterator[tuple[str, str]]:
    """The files that carry them into a guest's home: a name below it, and the text."""
    if lines := [f"{key}={value}\n" for key, value in npm().items()]:
        yield ".npmrc", "".join(lines)
    if settings := pip():
        parser, text = _parser(), io.StringIO()
        parser["global"] = settings
        parser.write(text)
        yield ".config/pip/pip.conf", text.getvalue()


def passwords() -> list[str]:
    """The proxies' passwords, which no log must show."""
    texts = [*environment().values(), *npm().values(), *pip().values()]
    found = {urlsplit(text).password for text in texts if "://" in text and _USER.search(text)}
    return sorted(password for password in found if password)


def _passes(name: str) -> bool:
    upper = name.upper()
    if _NEVER.search(name):
        return False
    if upper.startswith("NPM_CONFIG_"):
        key = name[len("NPM_CONFIG_") :].lower().replace("_", "-")
        return key in _NPM or _SCOPE.fullmatch(key) is not None
    if upper.startswith("PIP_"):
        return upper.removeprefix("PIP_").lower().replace("_", "-") in _PIP
    return name in _TEXT or upper.endswith(_SUFFIXES)


def _without_user(name: str, value: str) -> str:
    return value if _PROXIES.search(name) else _USER.sub("", value)


def _npm_files() -> Iterator[Path]:
    """AWS's images have neither; on the learner's machine npm reads them in this order."""
    given = {name.lower(): value for name, value in os.environ.items()}
    node = shutil.which("node")
    prefix = Path(node).resolve().parent.parent if node else Path("/usr")
    yield Path(given.get("npm_config_globalconfig") or prefix / "etc" / "npmrc")
    yield Path(given.get("npm_config_userconfig") or Path.home() / ".npmrc")


def _pip_files() -> Iterator[Path]:
    named = os.environ.get("PIP_CONFIG_FILE")
    if named != os.devnull:
        home = Path.home()
        own = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        if sys.platform == "darwin":
            yield home / "Library" / "Application Support" / "pip" / "pip.conf"
        yield home / ".pip" / "pip.conf"
        yield own / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if named:
        yield Path(named)


def _parser(delimiters: tuple[str, ...] = ("=", ":")) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(delimiters=delimiters, strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment]
    return parser


def _read(parser: configparser.RawConfigParser, text: str) -> Mapping[str, dict[str, str]]:
    """The sections of a file; none of one that npm or pip would not read either."""
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {name: {key: value for key, value in parser[name].items() if value} for name in parser}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _filled(value: str) -> str:
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), value).strip("\"'")
