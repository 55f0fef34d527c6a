"""Deliveries: what a git provider posts to a webhook's URL.

Nobody signs them with AWS's keys: the webhook's own secret is what they are checked with, by the
service that made the URL. The door lets through only the paths that a service has opened here.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PATH = "/webhooks/"
MOST_BYTES = 25 << 20  # GitHub's own limit


class Refused(Exception):
    """A delivery that is not answered with 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Delivery:
    """One delivery, as it came.

    Args:
        headers: by their names in lower case.
    """

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> str:
        """The kind of event in GitHub's words: `push`, `pull_request`, `ping`, ..."""
        return self.headers.get("x-github-event", "")

    @property
    def peer(self) -> str:
        """The address that it came from, as the door saw it."""
        return self.headers.get(":peer", "")

    @property
    def id(self) -> str:
        return self.headers.get("x-github-delivery", "")

    def json(self) -> dict[str, Any]:
        """The payload.

        Raises:
            Refused: it is not a JSON object.
        """
        try:
            payload = json.loads(self.body)
        except ValueError as error:
            raise Refused(400, f"the payload is not JSON: {error}") from error
        if not isinstance(payload, dict):
            raise Refused(400, "the payload is not a JSON object")
        return payload

    def check_signature(self, secret: str) -> None:
        """Check GitHub's signature of the body.

        Raises:
            Refused: 403, it is missing or of another secret.
        """
        given = self.headers.get("x-hub-signature-256", "")
        wanted = "sha256=" + hmac.new(secret.encode(), self.body, "sha256").hexdigest()
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Refused(403, "X-Hub-Signature-256 is missing, or not of this webhook's secret")


Handler = Callable[[Delivery], dict[str, Any]]
_handlers: dict[str, Handler] = {}


def open_path(name: str, handler: Handler) -> str:
    """Have deliveries to the path `/webhooks/<name>` answered; returns the path."""
    _handlers[PATH + name] = handler
    return PATH + name


def close_path(name: str) -> None:
    """Answer no deliveries there any more."""
    _handlers.pop(PATH + name, None)


def answer(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the body of the answer to a delivery."""
    handler = _handlers.get(path)
    try:
        if handler is None:
            raise Refused(404, "there is no webhook of this URL")
        if len(body) > MOST_BYTES:
            raise Refused(413, "the payload is larger than 25 MB")
        return 200, handler(Delivery(headers, body))
    except Refused as refused:
        return refused.status, {"message": refused.message}
