"""Callers of a function: invocations at a steady rate, and where an alias sends them.

AWS pages: "Invoke", "GetAlias" in the Lambda API Reference.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labkit.lab import Lab
from labkit.observe.traffic import ERROR, USERS, Load


@dataclass
class Invocations(Load):
    """Invoke a function all the time, as long as a `with` block lasts; `requests` has what came back.

    Args:
        url: the function's name, with the alias or version: `name:live`.
        per_second: how many invocations a second.
        client: boto3's client of Lambda.
    """

    per_second: float = 20.0
    client: Any = None

    async def _ask(self) -> None:
        begun, number = time.perf_counter(), 0
        running = []
        while not self._over.is_set():
            running.append(asyncio.create_task(asyncio.to_thread(self._invoke, number % USERS)))
            number += 1
            await asyncio.sleep(max(begun + number / self.per_second - time.perf_counter(), 0))
        await asyncio.gather(*running)

    def _invoke(self, user: int) -> None:
        at, started = datetime.now(UTC), time.perf_counter()
        try:
            answer = self.client.invoke(FunctionName=self.url)
            failed, version = "FunctionError" in answer, answer["ExecutedVersion"]
        except (ClientError, BotoCoreError):
            failed, version = True, ""
        row = (at, 500 if failed else 200, ERROR if failed else version)
        self.rows.append((*row, time.perf_counter() - started, user))


def alias_shares(lab: Lab, function: str, alias: str) -> dict[str, float]:
    """The percentage of an alias's invocations by version, as its weights have it now."""
    found = lab.client("lambda").get_alias(FunctionName=function, Name=alias)
    weights = found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    more = {version: 100 * weight for version, weight in weights.items()}
    return {found["FunctionVersion"]: 100.0 - sum(more.values()), **more}
