"""What the balancer costs and how exactly it shares: `make bench`.

A request through the balancer beside a direct one; what a thousand requests a second cost the
balancer's process; and 5,000 requests at a weight of 10 %, through the balancer and to an alias.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from labkit.cloud.front import launcher
from labkit.cloud.guests.processes import free_port
from tests.cloud.balancers import Balancer, to
from tests.cloud.functions import zipped
from tests.conftest import Aws
from tests.roles import create_role

SERVER = (
    "require('http').createServer((request, answer) => answer.end(process.argv[2]))"
    ".listen(+process.argv[3], '127.0.0.1')"
)
HANDLER = "import os\ndef handler(event, context):\n    return context.function_version\n"
ROUNDS, EACH = 7, 300
MOST_ADDED_MS = 1.0
REQUESTS, WEIGHT = 5000, 10
DEVIATIONS = 2.576  # of the binomial distribution: 99 %


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    state_dir = tmp_path_factory.mktemp("bench") / "state"
    description, _ = launcher.up(state_dir)
    yield Aws(description)
    launcher.down(state_dir)


@pytest.fixture(scope="module")
def sites(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two Node sites behind one listener, 90 to 10."""
    script = tmp_path_factory.mktemp("sites") / "server.js"
    script.write_text(SERVER)
    balancer = Balancer(aws)
    ports = [free_port() for _ in range(2)]
    running = [
        subprocess.Popen(["node", str(script), name, str(port)])
        for name, port in zip(("blue", "green"), ports, strict=True)
    ]
    groups = [balancer.group() for _ in ports]
    for group, port in zip(groups, ports, strict=True):
        target = [{"Id": "127.0.0.1", "Port": port}]
        balancer.elb.register_targets(TargetGroupArn=group, Targets=target)
    url = balancer.listen(to(*groups, weights=(100 - WEIGHT, WEIGHT)))
    balancer.wait_healthy(*groups)
    yield {"direct": f"http://127.0.0.1:{ports[0]}/", "balanced": f"{url}/"}
    for process in running:
        process.kill()
        process.wait()


async def ask(url: str, count: int, at_once: int = 1) -> tuple[list[float], Counter[str]]:
    """Ask `count` times; the seconds of each, and the bodies."""
    seconds: list[float] = []
    seen: Counter[str] = Counter()
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def some() -> None:
            for _ in numbers:
                started = time.perf_counter()
                async with session.get(url) as answer:
                    assert answer.status == 200
                    seen[await answer.text()] += 1
                seconds.append(time.perf_counter() - started)

        await asyncio.gather(*[some() for _ in range(at_once)])
    return seconds, seen


def test_the_balancer_adds_little(sites: dict[str, Any]) -> None:
    added = []
    for _ in range(ROUNDS):
        direct, _ = asyncio.run(ask(sites["direct"], EACH))
        balanced, _ = asyncio.run(ask(sites["balanced"], EACH))
        added.append(1000 * (statistics.median(balanced) - statistics.median(direct)))
    typical = statistics.median(added)
    print(f"\nthe balancer adds {typical:.2f} ms at the median (limit {MOST_ADDED_MS})")
    assert typical <= MOST_ADDED_MS


def test_a_thousand_requests_a_second_on_one_core(aws: Aws, sites: dict[str, Any]) -> None:
    [process] = [one for one in psutil.process_iter() if _is_balancer(one, aws.state_dir)]
    before = sum(process.cpu_times()[:2])
    asyncio.run(ask(sites["balanced"], REQUESTS, at_once=20))
    each = (sum(process.cpu_times()[:2]) - before) / REQUESTS
    print(f"\na core of the balancer holds {1 / each:.0f} requests a second (at least 1000)")
    assert 1 / each >= 1000


def test_traffic_follows_the_weights(sites: dict[str, Any]) -> None:
    _, seen = asyncio.run(ask(sites["balanced"], REQUESTS, at_once=20))
    assert_share(seen["green"], "the balancer")


def test_invocations_follow_the_weights(aws: Aws) -> None:
    lambda_ = aws.client("lambda")
    lambda_.create_function(
        FunctionName="weights",
        Runtime="python3.11",
        Handler="hook.handler",
        Role=create_role(aws, "weights", "lambda.amazonaws.com"),
        Code={"ZipFile": zipped("hook.py", HANDLER)},
        Publish=True,
    )
    lambda_.update_function_code(
        FunctionName="weights", ZipFile=zipped("hook.py", HANDLER + "#"), Publish=True
    )
    lambda_.create_alias(
        FunctionName="weights",
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": WEIGHT / 100}},
    )

    def call(_: int) -> str:
        answer = lambda_.invoke(FunctionName="weights", Qualifier="live")
        return answer["ExecutedVersion"]

    with ThreadPoolExecutor(4) as pool:
        seen = Counter(pool.map(call, range(REQUESTS)))
    assert_share(seen["2"], "the alias")


def assert_share(found: int, who: str) -> None:
    expected = REQUESTS * WEIGHT / 100
    margin = DEVIATIONS * (expected * (1 - WEIGHT / 100)) ** 0.5
    print(f"\n{who}: {found} of {REQUESTS} at {WEIGHT} % (99 %: {expected:.0f} ± {margin:.0f})")
    assert abs(found - expected) <= margin


def _is_balancer(process: psutil.Process, state_dir: Path) -> bool:
    try:
        env = process.environ()
    except psutil.Error:
        return False
    return env.get("LABKIT_OWNER") == "balancer" and env.get("LABKIT_LAB") == str(state_dir)
