"""What builds are told where there is no network, so that they fail soon and say what to do.

npm asks a registry that is not there three times, with pauses of 10 s and of a minute: here they are
of 1 s and 5 s. Where the machine has no way out at all, they give up sooner and take what their
caches have. The lab itself asks nobody: it looks at the machine's routes alone.
"""

from __future__ import annotations

import re
import socket

from labkit.cloud.guests import downloads, settings
from labkit.cloud.shared import runtime

_SOON = {
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",
}
_ONCE = {
    "npm_config_prefer_offline": "true",
    "npm_config_fetch_retries": "0",
    "PIP_RETRIES": "1",  # with none, pip does not say that it reached nobody
}
# RFC 5737 and RFC 3849: addresses of nobody, which only the way out leads to
_NOBODY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
# settings with which a registry may be near, where there is no way out
_NEAR = {"registry", "index-url", "proxy", "https-proxy"}
# what npm, pip, git, curl and their like print when they reach nobody
_SIGNS = re.compile(
    rb"EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|"
    rb"Could not resolve|[Nn]ame resolution|Name or service not known|nodename nor servname|"
    rb"[Nn]etwork is unreachable|No route to host|NewConnectionError|ConnectTimeoutError|"
    rb"ProxyError|Failed to connect"
)


def variables() -> dict[str, str]:
    """What npm and pip are told of the network, in the environment of a build's commands."""
    if _way_out() or _NEAR & {*settings.in_force("npm"), *settings.in_force("pip")}:
        return _SOON
    return _ONCE


def advice(output: bytes) -> str | None:
    """What to tell of a command that failed with this output, if it reached nobody."""
    if not _SIGNS.search(output):
        return None
    where = "This command asked for something by the network" + (
        " and was not answered." if _way_out() else ", and this machine has none."
    )
    missing = downloads.missing(downloads.npm_cache(runtime.current().state_dir))
    return (
        f"{where} What to do: connect this machine and build again; behind a proxy, or with a registry "
        "of your own, set HTTPS_PROXY or npm's and pip's own settings (after a change of the environment: "
        "labkit down, labkit up)."
        + (" What the lessons' builds install is brought by: labkit prefetch" if missing else "")
    )


def _way_out() -> bool:
    """Whether the machine has a route to elsewhere; nothing is sent."""
    for family, address in _NOBODY:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                return True
        except OSError:
            continue
    return False
