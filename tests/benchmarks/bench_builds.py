"""What CodeBuild itself costs: `make bench`.

Each figure is a ratio, or a time against its limit, of one run on one machine; the best of some
rounds, because a machine has other things to do as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from labkit.cloud.front import launcher
from tests.codebuild.conftest import Bench, make_bench
from tests.conftest import Aws

ROUNDS = 5
MOST_SECONDS_OF_TRUE = 0.4
MOST_TIMES_OF_HALF = 1.15
MOST_TIMES_OF_CAT = 1.5
MOST_BYTES_MORE = 60 << 20


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    state_dir = tmp_path_factory.mktemp("bench") / "state"
    description, _ = launcher.up(state_dir)
    yield make_bench(Aws(description))
    launcher.down(state_dir)


def project(bench: Bench, *commands: str, **settings: Any) -> str:
    lines = "".join(f"      - {command}\n" for command in commands)
    text = f"version: 0.2\nphases:\n  build:\n    commands:\n{lines}"
    return bench.project(source={"type": "NO_SOURCE", "buildspec": text}, **settings)


def seconds(build: dict[str, Any], phase: str | None = None) -> float:
    """How long a build took, or one phase of it, by AWS's own times."""
    if phase is None:
        return (build["endTime"] - build["startTime"]).total_seconds()
    [found] = [item for item in build["phases"] if item["phaseType"] == phase]
    return (found["endTime"] - found["startTime"]).total_seconds()


def all_of(bench: Bench, name: str, count: int) -> float:
    """Seconds from the start of the first build to the end of the last."""
    ids = [bench.codebuild.start_build(projectName=name)["build"]["id"] for _ in range(count)]
    builds = [bench.wait(build_id) for build_id in ids]
    assert {build["buildStatus"] for build in builds} == {"SUCCEEDED"}
    started = min(build["startTime"] for build in builds)
    return (max(build["endTime"] for build in builds) - started).total_seconds()


def unwatched(bench: Bench, name: str) -> dict[str, Any]:
    """A build that nobody asks after while it runs: answering takes the server's time as well."""
    build_id = bench.codebuild.start_build(projectName=name)["build"]["id"]
    time.sleep(2)
    return bench.wait(build_id)


def test_a_build_of_true(bench: Bench) -> None:
    name = project(bench, "'true'")
    best = min(seconds(bench.run(name)) for _ in range(ROUNDS))
    print(f"\na build of true: {best:.2f} s (limit {MOST_SECONDS_OF_TRUE})")
    assert best <= MOST_SECONDS_OF_TRUE


def test_thirty_builds_two_at_a_time(bench: Bench) -> None:
    """30 builds that wait for nothing but each other, against 15 one after another."""
    two = project(bench, "sleep 0.4", concurrentBuildLimit=2)
    one = project(bench, "sleep 0.4", concurrentBuildLimit=1)
    ratio = all_of(bench, two, 30) / all_of(bench, one, 15)
    print(f"\n30 builds at concurrency 2: {ratio:.2f} times 15 (limit {MOST_TIMES_OF_HALF})")
    assert ratio <= MOST_TIMES_OF_HALF


def test_a_command_that_prints_100_mb(bench: Bench) -> None:
    """A build that prints them, against one that copies them into a file, through a pipe as well.

    `cat` straight from file to file copies nothing on Linux, so that it says nothing of printing.
    """
    line = "a line such as many a build prints, of about a hundred characters, or so they say"
    source = f"yes '{line}' | head -c 100000000"
    printing = project(bench, source)
    copying = project(bench, f"{source} | cat > copy")
    server = psutil.Process(bench.aws.description["pid"])
    unwatched(bench, printing)
    before = server.memory_info().rss
    printed = min(seconds(unwatched(bench, printing)) for _ in range(ROUNDS))
    more = server.memory_info().rss - before
    copied = min(seconds(unwatched(bench, copying)) for _ in range(ROUNDS))
    print(
        f"\n100 MB printed: {printed:.2f} s, {printed / copied:.2f} times cat into a file (limit"
        f" {MOST_TIMES_OF_CAT}), {more / 1e6:.0f} MB more memory after {ROUNDS} such builds"
    )
    assert more <= MOST_BYTES_MORE
    assert printed <= MOST_TIMES_OF_CAT * copied
