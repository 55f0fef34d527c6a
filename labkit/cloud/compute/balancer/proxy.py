"""The process that answers for the listeners: `python -m labkit.cloud.compute.balancer.proxy`.

It reads routing tables from its standard input, one JSON line each, and lives until that is closed.
On its standard output it says which table it has applied, which target's health has changed, and
what it has counted since it last said so. A request that is under way when the table changes is
finished as it was begun.

AWS pages: "Health checks for Application Load Balancer target groups"; "CloudWatch metrics for your
Application Load Balancer"; "Troubleshoot your Application Load Balancers" (502, 503, 504).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections import Counter, defaultdict
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from labkit.cloud.compute.balancer import cookies
from labkit.cloud.compute.balancer.answers import error_page, redirect
from labkit.cloud.compute.balancer.counts import Counts
from labkit.cloud.compute.balancer.health import Check
from labkit.cloud.compute.balancer.matching import choose, first_rule, weights

MOST_KEPT = 256 * 1024  # bytes of an answer that are read before the first is passed on
IDLE_SECONDS = 60.0
REPORT_SECONDS = 0.25
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
_NOT_OURS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
Table = dict[str, Any]
Address = tuple[str, int]


class Proxy:
    """All listeners, the tables they work by, and the checks of the targets."""

    def __init__(self) -> None:
        self.table: Table = {"listeners": {}, "groups": {}}
        self.sites: dict[str, web.ServerRunner] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.checks: dict[tuple[str, str], Check] = {}
        self.turns: dict[str, itertools.count[int]] = defaultdict(itertools.count)
        self.under_way: Counter[tuple[str, int]] = Counter()
        self.counts = Counts()
        self.session: aiohttp.ClientSession

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NOT_OURS,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=IDLE_SECONDS),
        ) as self.session:
            reporting = asyncio.create_task(self._report())
            async for line in _standard_input():
                told = json.loads(line)
                problems = await self._apply(told["table"])
                say({"applied": told["number"], "problems": problems})
            reporting.cancel()

    async def _apply(self, table: Table) -> dict[str, str]:
        """Work by this table from now on; returns the listeners that cannot listen, and why."""
        self.table = table
        self._check_targets()
        for arn in [arn for arn in self.sites if arn not in table["listeners"]]:
            self._close(self.sites.pop(arn))
        problems = {}
        for arn, listener in table["listeners"].items():
            if arn in self.sites:
                continue
            try:
                self.sites[arn] = await self._listen(arn, listener["port"])
            except OSError as error:
                problems[arn] = str(error)
        return problems

    async def _listen(self, arn: str, port: int) -> web.ServerRunner:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self.answer(arn, request)

        server = web.Server(answer, access_log=None, keepalive_timeout=IDLE_SECONDS)
        runner = web.ServerRunner(server, shutdown_timeout=5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        except OSError:
            await runner.cleanup()
            raise
        return runner

    def _close(self, runner: web.ServerRunner) -> None:
        """Stop listening, and let the requests that are under way end."""
        closing = asyncio.create_task(runner.cleanup())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _check_targets(self) -> None:
        wanted = {
            (arn, key): (tuple(address), group["check"])
            for arn, group in self.table["groups"].items()
            if group["used"]
            for key, address in group["targets"].items()
        }
        for known in list(self.checks):
            check = self.checks[known]
            if wanted.get(known) != (check.address, check.settings):
                check.task.cancel()
                del self.checks[known]
        for name, (address, settings) in wanted.items():
            if name not in self.checks:
                self.checks[name] = Check(*name, address, settings, say)

    async def answer(self, arn: str, request: web.BaseRequest) -> web.StreamResponse:
        """Do with one request what the first rule that fits says."""
        listener = self.table["listeners"].get(arn)
        if listener is None:
            return error_page(503)
        [*_, action] = first_rule(listener["rules"], request)["actions"]
        match action["Type"]:
            case "fixed-response":
                fixed = action["FixedResponseConfig"]
                return web.Response(
                    status=int(fixed["StatusCode"]),
                    text=fixed.get("MessageBody") or "",
                    content_type=fixed.get("ContentType") or "text/plain",
                )
            case "redirect":
                return redirect(action["RedirectConfig"], request, listener["asked"])
        group_arn = self._bound_group(arn, action, request) or choose(action) or ""
        group = self.table["groups"].get(group_arn)
        if group is None:
            self.counts.add(listener["balancer"], "", elb_5XX=1)
            return error_page(503)
        bindings = cookies.Bindings()
        if "sticky" in action:
            bindings.headers += cookies.binding(cookies.GROUP, arn, group_arn, action["sticky"])
        return await self._forward(listener, group_arn, group, request, bindings)

    def _bound_group(self, arn: str, action: Table, request: web.BaseRequest) -> str | None:
        """The target group that a client is bound to, if it is in the rule still.

        Its weight does not matter: weights are for requests without the cookie.
        """
        if "sticky" not in action:
            return None
        bound = cookies.bound_to(request, cookies.GROUP, arn)
        return bound if bound in weights(action) else None

    async def _forward(
        self,
        listener: Table,
        group_arn: str,
        group: Table,
        request: web.BaseRequest,
        bindings: cookies.Bindings,
    ) -> web.StreamResponse:
        balancer, name = listener["balancer"], group["name"]
        address = self._pick(group_arn, group, bindings, request)
        if address is None:
            self.counts.add(balancer, name, elb_5XX=1)
            return error_page(503)
        started = time.perf_counter()
        self.under_way[address] += 1
        try:
            return await self._pass_on(
                balancer, name, address, listener, request, bindings, started
            )
        except TimeoutError:
            self.counts.add(balancer, name, requests=1, elb_5XX=1)
            return error_page(504)
        except aiohttp.ClientError:
            self.counts.add(balancer, name, requests=1, elb_5XX=1)
            return error_page(502)
        finally:
            self.under_way[address] -= 1

    def _pick(
        self, arn: str, group: Table, bindings: cookies.Bindings, request: web.BaseRequest
    ) -> Address | None:
        """A healthy target, the one the client is bound to if it can be had.

        If none is healthy, it is any of them: the load balancer fails open.
        """
        known = [(key, tuple(address)) for key, address in group["targets"].items()]
        healthy = [
            (key, address)
            for key, address in known
            if (check := self.checks.get((arn, key))) and check.state == "healthy"
        ]
        targets = healthy or known
        if not targets:
            return None
        if group["sticky"]:
            return self._bound_target(arn, group, bindings, request, dict(targets))
        return self._next(arn, group, targets)[1]

    def _next(
        self, arn: str, group: Table, targets: list[tuple[str, Address]]
    ) -> tuple[str, Address]:
        if group["algorithm"] == "least_outstanding_requests":
            return min(targets, key=lambda one: self.under_way[one[1]])
        return targets[next(self.turns[arn]) % len(targets)]

    def _bound_target(
        self,
        arn: str,
        group: Table,
        bindings: cookies.Bindings,
        request: web.BaseRequest,
        targets: dict[str, Address],
    ) -> Address:
        awaited, seconds = group["sticky"]["cookie"], group["sticky"]["seconds"]
        cookie = cookies.APPLICATION if awaited else cookies.TARGET
        bound = None
        if not awaited or awaited in request.cookies:
            bound = cookies.bound_to(request, cookie, arn)
        key = bound if bound in targets else None
        key = key or self._next(arn, group, list(targets.items()))[0]
        made = cookies.binding(cookie, arn, key, seconds)
        if awaited and bound is None:
            bindings.awaited, bindings.then = awaited, made
        else:
            bindings.headers += made
        return targets[key]

    async def _pass_on(
        self,
        balancer: str,
        group: str,
        address: tuple[str, int],
        listener: Table,
        request: web.BaseRequest,
        bindings: cookies.Bindings,
        started: float,
    ) -> web.StreamResponse:
        url = URL(f"http://{address[0]}:{address[1]}{request.raw_path}", encoded=True)
        headers = [pair for pair in request.headers.items() if pair[0].lower() not in _HOP_BY_HOP]
        peer = request.remote or ""
        before = request.headers.get("X-Forwarded-For")
        headers = [pair for pair in headers if not pair[0].lower().startswith("x-forwarded-")]
        headers += [
            ("X-Forwarded-For", f"{before}, {peer}" if before else peer),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Port", str(listener["asked"])),
        ]
        async with self.session.request(
            request.method,
            url,
            headers=headers,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            kept = [pair for pair in answer.headers.items() if pair[0].lower() not in _HOP_BY_HOP]
            kept = bindings.added_to(kept)
            length = answer.content_length
            if request.method == "HEAD" or (length is not None and length <= MOST_KEPT):
                body = await answer.read()
                self.counts.answered(balancer, group, answer.status, time.perf_counter() - started)
                whole = web.Response(status=answer.status, reason=answer.reason, body=body)
                whole.headers.clear()
                whole.headers.extend(kept)
                return whole
            self.counts.answered(balancer, group, answer.status, time.perf_counter() - started)
            streamed = web.StreamResponse(status=answer.status, reason=answer.reason)
            streamed.headers.extend(kept)
            await streamed.prepare(request)
            try:
                async for block in answer.content.iter_any():
                    await streamed.write(block)
                await streamed.write_eof()
            except aiohttp.ClientError:  # too late for another status: the client sees it cut off
                if request.transport is not None:
                    request.transport.abort()
            return streamed

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if taken := self.counts.take():
                say({"counts": taken})


def say(message: Table) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _standard_input() -> Any:
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Proxy().run())
