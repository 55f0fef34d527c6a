"""What the door costs: `make bench`.

Memory that the server takes more for a gigabyte that passes through it, whole or as a build's
artifact; and how long a call takes beside 200 clients that sent half a request, as a multiple of
the same call without them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from labkit.cloud.front import launcher
from tests.cloud.sockets import connect
from tests.cloud.test_bodies import MB, digest_of, growth, large_file
from tests.codebuild.conftest import Bench, make_bench
from tests.conftest import Aws

SIZE = 1024 * MB
ARTIFACT_SIZES = (1024 * MB, 2048 * MB)
MOST_GROWTH = 50 * MB
CLIENTS = 200
CALLS = 50
MOST_SECONDS = 1.0
MAKE = """import os
block = os.urandom(1 << 20)
with open("large", "wb") as file:
    for number in range({megabytes}):
        file.write(number.to_bytes(4, "big") + block[4:])
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    state_dir = tmp_path_factory.mktemp("bench") / "state"
    description, _ = launcher.up(state_dir)
    yield make_bench(Aws(description))
    launcher.down(state_dir)


def test_a_gigabyte_through_s3(bench: Bench, tmp_path: Path) -> None:
    s3, path = bench.aws.client("s3"), large_file(tmp_path, SIZE)
    s3.put_object(Bucket=bench.bucket, Key="first", Body=b"")
    s3.get_object(Bucket=bench.bucket, Key="first")["Body"].read()
    with growth(bench.aws) as put, path.open("rb") as file:
        s3.put_object(Bucket=bench.bucket, Key="large", Body=file)
    with growth(bench.aws) as got, path.open("rb") as file:
        found = s3.get_object(Bucket=bench.bucket, Key="large")
        assert digest_of(found["Body"]) == digest_of(file)
    s3.delete_object(Bucket=bench.bucket, Key="large")
    print(f"\n{SIZE // MB} MB through PutObject: {put.most / MB:.1f} MB more memory; through "
          f"GetObject: {got.most / MB:.1f} MB (limit {MOST_GROWTH // MB})")  # fmt: skip
    assert max(put.most, got.most) < MOST_GROWTH


@pytest.mark.parametrize("size", ARTIFACT_SIZES)
@pytest.mark.parametrize("packaging", ["ZIP", "NONE"])
def test_a_build_s_artifact(bench: Bench, packaging: str, size: int) -> None:
    spec = """version: 0.2
phases:
  build:
    commands:
      - python3 make.py
artifacts:
  files: [large]
"""
    made = f"{packaging}-{size}"
    for megabytes in (1, size // MB):  # what a first build loads is no part of it
        key = bench.upload({"make.py": MAKE.format(megabytes=megabytes), "buildspec.yml": spec})
        name = bench.project(
            source={"type": "S3", "location": f"{bench.bucket}/{key}"},
            artifacts={
                "type": "S3",
                "location": bench.bucket,
                "name": made,
                "packaging": packaging,
            },
        )
        with growth(bench.aws) as grown:
            started = bench.codebuild.start_build(projectName=name)
            build = bench.wait(started["build"]["id"], seconds=900)
        assert build["buildStatus"] == "SUCCEEDED"
    s3 = bench.aws.client("s3")
    found = s3.list_objects_v2(Bucket=bench.bucket, Prefix=made)["Contents"][0]
    assert found["Size"] >= size
    s3.delete_object(Bucket=bench.bucket, Key=found["Key"])
    print(f"\nan artifact of {size // MB} MB, packaging {packaging}: {grown.most / MB:.1f} MB more "
          f"memory (limit {MOST_GROWTH // MB})")  # fmt: skip
    assert grown.most < MOST_GROWTH


def seconds_of_calls(codebuild: Any) -> float:
    """The slowest of some calls."""
    slowest = 0.0
    for _ in range(CALLS):
        started = time.perf_counter()
        codebuild.list_projects()
        slowest = max(slowest, time.perf_counter() - started)
    return slowest


def test_halves_of_requests(bench: Bench) -> None:
    codebuild = bench.aws.client("codebuild")
    alone = min(seconds_of_calls(codebuild) for _ in range(3))
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(connect(bench.aws))
            client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        beside = seconds_of_calls(codebuild)
    print(f"\nthe slowest of {CALLS} calls beside {CLIENTS} halves of requests: {beside * 1000:.0f} ms, "
          f"{beside / alone:.1f} times as without them")  # fmt: skip
    assert beside < MOST_SECONDS
