"""The health checks of one target, at the group's interval.

AWS page: "Health checks for Application Load Balancer target groups".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

_HEADERS = {"User-Agent": "ELB-HealthChecker/2.0"}


class Check:
    """`state` is `initial`, `healthy` or `unhealthy`; a new target needs one success to be healthy."""

    def __init__(
        self,
        group: str,
        target: str,
        address: tuple[str, int],
        settings: dict[str, Any],
        say: Callable[[dict[str, Any]], None],
    ) -> None:
        self.group, self.target, self.address, self.settings = group, target, address, settings
        self.state, self._say = "initial", say
        self._passed = self._failed = 0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        port = self.settings["port"]
        port = self.address[1] if port == "traffic-port" else int(port)
        url = f"http://{self.address[0]}:{port}{self.settings['path']}"
        timeout = aiohttp.ClientTimeout(total=self.settings["timeout"])
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            timeout=timeout, headers=_HEADERS, connector=connector
        ) as session:
            while True:
                self._note(await self._failure(session, url))
                await asyncio.sleep(self.settings["interval"])

    async def _failure(self, session: aiohttp.ClientSession, url: str) -> tuple[str, str] | None:
        """Why a check has failed, as reason and description; None if it has not."""
        try:
            async with session.get(url, allow_redirects=False) as answer:
                if _matches(self.settings["codes"], answer.status):
                    return None
                told = f"Health checks failed with these codes: [{answer.status}]"
                return "Target.ResponseCodeMismatch", told
        except TimeoutError:
            return "Target.Timeout", "Request timed out"
        except (aiohttp.ClientError, OSError):
            return "Target.FailedHealthChecks", "Health checks failed"

    def _note(self, failure: tuple[str, str] | None) -> None:
        self._passed = 0 if failure else self._passed + 1
        self._failed = self._failed + 1 if failure else 0
        needed = 1 if self.state == "initial" else self.settings["healthy"]
        if self.state != "healthy" and self._passed >= needed:
            self._become("healthy", ("", ""))
        elif failure and self.state != "unhealthy" and self._failed >= self.settings["unhealthy"]:
            self._become("unhealthy", failure)

    def _become(self, state: str, why: tuple[str, str]) -> None:
        self.state = state
        self._say({"health": [self.group, self.target, state, *why]})


def _matches(codes: str, status: int) -> bool:
    for part in codes.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
