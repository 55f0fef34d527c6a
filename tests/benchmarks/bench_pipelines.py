"""What CodePipeline's state machine costs: `make bench`.

Fifty executions side by side whose actions do nothing; GetPipelineState of a pipeline with a past;
and what executions that ended leave behind in the lab's process.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from labkit.cloud.front import launcher
from tests.codepipeline.driving import NAME, WORK, Driven, Ground, make_ground, source, work
from tests.codepipeline.playing import declaration
from tests.conftest import Aws
from tests.waiting import eventually

EXECUTIONS = 50
MOST_SECONDS = 15
PAST_EXECUTIONS = 1000
MOST_TIMES_OF_ONE = 1.2
CALLS = 300
SPARE = 4  # connections and threads that come and go with whoever calls, against 100 executions


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    state_dir = tmp_path_factory.mktemp("bench") / "state"
    description, _ = launcher.up(state_dir)
    yield make_ground(Aws(description))
    launcher.down(state_dir)


def three_stages(ground: Ground, name: str) -> Driven:
    """CodeCommit -> a job that makes an artifact -> a job that reads it, in PARALLEL mode."""
    build = work(name, "Build", inputArtifacts=[{"name": "Source"}], outputArtifacts=[{"name": "Built"}])  # fmt: skip
    deploy = work(name, "Deploy", inputArtifacts=[{"name": "Built"}])
    declared = {
        "name": name,
        "roleArn": ground.role,
        "pipelineType": "V2",
        "executionMode": "PARALLEL",
        "artifactStore": {"type": "S3", "location": NAME},
        "stages": [
            {"name": "Source", "actions": [source(name)]},
            {"name": "Build", "actions": [build]},
            {"name": "Deploy", "actions": [deploy]},
        ],
    }
    return Driven(ground, declared)


@contextmanager
def worker(driven: Driven) -> Iterator[None]:
    """A job worker that says of every job of the pipeline that it is done."""
    over = threading.Event()

    def serve() -> None:
        query = {"Pipeline": driven.name}
        while not over.is_set():
            jobs = driven.api.poll_for_jobs(actionTypeId=WORK, queryParam=query)["jobs"]
            for job in jobs:
                driven.api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
                driven.api.put_job_success_result(jobId=job["id"])
            if not jobs:
                over.wait(0.05)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ended(driven: Driven, count: int, seconds: float = 120) -> list[dict[str, Any]]:
    """The newest executions, once they have ended."""

    def newest() -> list[dict[str, Any]]:
        return driven.executions(maxResults=count)

    def over(found: list[dict[str, Any]]) -> bool:
        return all(item["status"] != "InProgress" for item in found)

    time.sleep(0.2)
    return eventually(newest, enough=over, what="all end", seconds=seconds)


def test_fifty_parallel_executions(ground: Ground) -> None:
    driven = three_stages(ground, "fifty")
    with worker(driven):
        driven.api.create_pipeline(pipeline=driven.declaration)
        ended(driven, 1)
        for _ in range(EXECUTIONS):
            driven.start("any")
        found = ended(driven, EXECUTIONS)
    assert {item["status"] for item in found} == {"Succeeded"}
    assert len({item["pipelineExecutionId"] for item in found}) == EXECUTIONS
    started = min(item["startTime"] for item in found)
    seconds = (max(item["lastUpdateTime"] for item in found) - started).total_seconds()
    print(f"\n{EXECUTIONS} parallel executions: {seconds:.1f} s (limit {MOST_SECONDS})")
    driven.close()
    assert seconds <= MOST_SECONDS


def with_past(ground: Ground, name: str, count: int) -> Driven:
    """A pipeline with so many executions behind it, whose second stage is skipped."""
    skipped = {"actions": ["Ask"], "beforeEntry": {"result": "SKIP", "rules": ["check a EQ b"]}}
    case = {"mode": "QUEUED", "stages": {"One": skipped}}
    driven = Driven(ground, declaration(case, name, ground.role))
    driven.api.create_pipeline(pipeline=driven.declaration)
    made = 1
    while made < count:
        more = min(40, count - made)
        for _ in range(more):
            driven.start("any")
        made += more
        found = ended(driven, more)
        assert {item["status"] for item in found} == {"Succeeded"}
    ended(driven, 1)
    return driven


def seconds_of(driven: Driven) -> float:
    started = time.perf_counter()
    driven.state()
    return time.perf_counter() - started


def test_the_state_of_a_pipeline_with_a_past(ground: Ground) -> None:
    young, old = with_past(ground, "young", 1), with_past(ground, "old", PAST_EXECUTIONS)
    pairs = [(seconds_of(young), seconds_of(old)) for _ in range(CALLS)]
    one, many = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"\nGetPipelineState: {1000 * one:.2f} ms after 1 execution, {1000 * many:.2f} ms after"
        f" {PAST_EXECUTIONS}: {many / one:.2f} times (limit {MOST_TIMES_OF_ONE})"
    )
    young.close()
    old.close()
    assert many / one <= MOST_TIMES_OF_ONE


def test_executions_that_ended_leave_nothing_open(ground: Ground) -> None:
    driven = three_stages(ground, "leaves")
    server = psutil.Process(ground.aws.description["pid"])

    def held() -> tuple[int, int]:
        return server.num_threads(), server.num_fds()

    def round_of(count: int) -> None:
        for _ in range(count):
            driven.start("any")
        assert {item["status"] for item in ended(driven, count)} == {"Succeeded"}

    with worker(driven):
        driven.api.create_pipeline(pipeline=driven.declaration)
        ended(driven, 1)
        round_of(EXECUTIONS)  # fills the pools of connections and of threads
        before = held()
        round_of(EXECUTIONS)
        round_of(EXECUTIONS)
        most = [count + SPARE for count in before]
        after = eventually(
            held, enough=lambda now: now[0] <= most[0] and now[1] <= most[1], what=f"at most {most}"
        )
    print(
        f"\nthreads and file handles: {before} after {EXECUTIONS}, {after} after {3 * EXECUTIONS}"
    )
    driven.close()
