"""The balancer's own cookies: which target, or which target group, a client is bound to.

What a cookie says is encrypted with a key of this process; a cookie that cannot be read, or whose
time is over, binds to nothing. The time counts from the last answer.

AWS page: "Sticky sessions for your Application Load Balancer".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from email.utils import formatdate

from aiohttp import web
from cryptography.fernet import Fernet, InvalidToken

TARGET, GROUP, APPLICATION = "AWSALB", "AWSALBTG", "AWSALBAPP"
KEPT_SECONDS = 7 * 86400  # how long a browser keeps them, whatever the duration
_CORS = {TARGET: "AWSALBCORS", GROUP: "AWSALBTGCORS"}
_fernet = Fernet(Fernet.generate_key())


def bound_to(request: web.BaseRequest, cookie: str, where: str) -> str | None:
    """What this cookie of a request binds it to, if it was made for the same place."""
    for name in (cookie, _CORS.get(cookie, cookie)):
        try:
            made_for, bound, until = json.loads(_fernet.decrypt(request.cookies.get(name, "")))
        except InvalidToken:
            continue
        if made_for == where and time.time() < until:
            return str(bound)
    return None


def binding(cookie: str, where: str, bound: str, seconds: float) -> list[str]:
    """The `Set-Cookie` headers that bind a client for so long."""
    told = json.dumps([where, bound, time.time() + seconds])
    value = _fernet.encrypt(told.encode()).decode()
    expires = formatdate(time.time() + KEPT_SECONDS, usegmt=True)
    made = [f"{cookie}={value}; Expires={expires}; Path=/"]
    if cookie in _CORS:
        made.append(f"{_CORS[cookie]}={value}; Expires={expires}; Path=/; SameSite=None; Secure")
    return made


@dataclass
class Bindings:
    """What an answer is to bind a client with: some at once, some if the application says so."""

    headers: list[str] = field(default_factory=list)
    awaited: str | None = None  # the application's cookie
    then: list[str] = field(default_factory=list)  # what goes with it

    def added_to(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers of a target's answer, and those that bind the client."""
        more = list(self.headers)
        if self.awaited and any(_sets(*pair, self.awaited) for pair in headers):
            more += self.then
        return headers + [("Set-Cookie", one) for one in more]


def _sets(header: str, value: str, cookie: str) -> bool:
    return header.lower() == "set-cookie" and value.partition("=")[0].strip() == cookie
