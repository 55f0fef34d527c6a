"""What artifacts cost: `make bench`.

Each figure is a ratio of one run on one machine; the best of some rounds, because a machine has
other things to do as well. That packing holds no file in memory is in `test_artifacts.py`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from labkit.cloud.front import launcher
from tests.benchmarks.bench_builds import seconds
from tests.codebuild.conftest import Bench, make_bench
from tests.conftest import Aws

ROUNDS = 5
MOST_TIMES_OF_ZIP = 2
# a tree as a site or a `node_modules` is: 10,000 files of about a kilobyte in 100 directories
MAKE_TREE = """import pathlib, random
words = ["".join(random.choices("abcdefghijklmnop", k=6)) for _ in range(300)]
for number in range(10_000):
    path = pathlib.Path(f"tree/{number // 100:03}/file{number}.js")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(random.choices(words, k=150)))
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    state_dir = tmp_path_factory.mktemp("bench") / "state"
    description, _ = launcher.up(state_dir)
    yield make_bench(Aws(description))
    launcher.down(state_dir)


def project(bench: Bench, commands: dict[str, str], **artifacts: Any) -> str:
    """A project whose source is this module's tree maker, and that packs the tree."""
    phases = {name: {"commands": [command]} for name, command in commands.items()}
    spec = {"version": 0.2, "phases": phases, "artifacts": {"files": "tree/**/*"}}
    key = bench.upload({"make_tree.py": MAKE_TREE})
    return bench.project(
        source={"type": "S3", "location": f"{bench.bucket}/{key}", "buildspec": json.dumps(spec)},
        artifacts={"type": "S3", "location": bench.bucket, "name": "made.zip", **artifacts},
    )


def unwatched(bench: Bench, name: str, nap: float) -> dict[str, Any]:
    """A build that nobody asks after while it runs: answering takes the server's time as well."""
    build_id = bench.codebuild.start_build(projectName=name)["build"]["id"]
    time.sleep(nap)
    return bench.wait(build_id)


@pytest.mark.skipif(shutil.which("zip") is None, reason="there is no program zip to compare with")
def test_ten_thousand_small_files(bench: Bench) -> None:
    """The whole of UPLOAD_ARTIFACTS, against `zip -1` of the same tree in the same build."""
    name = project(
        bench,
        {"build": "python3 make_tree.py", "post_build": "zip -1 -q -r ../compare.zip tree"},
        packaging="ZIP",
    )
    builds = [unwatched(bench, name, nap=5) for _ in range(ROUNDS)]
    assert {build["buildStatus"] for build in builds} == {"SUCCEEDED"}
    zipped = min(seconds(build, "POST_BUILD") for build in builds)
    uploaded = min(seconds(build, "UPLOAD_ARTIFACTS") for build in builds)
    print(
        f"\n10,000 small files uploaded: {uploaded:.2f} s, {uploaded / zipped:.2f} times zip -1"
        f" ({zipped:.2f} s; limit {MOST_TIMES_OF_ZIP})"
    )
    assert uploaded <= MOST_TIMES_OF_ZIP * zipped
