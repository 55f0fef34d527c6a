"""Batch builds as data: each case of `batches.yaml` runs for real; and how test files are split.

A case: `buildspec` or `files` (the source), optional `config` (buildBatchConfig), `project` and
`start` settings in; `expect` out: `status` of the batch; `groups` with the status of each; `depends`
and `after` (what must have ended before it began); `not_started`; `environment` and `log` of single
builds; or `refused`, the context of the phase DOWNLOAD_BATCHSPEC. `page` says where it comes from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from labkit.cloud.codebuild import splitting
from labkit.cloud.codebuild.batch.spec import KINDS, read
from labkit.cloud.codebuild.buildspec import BuildspecError
from tests import tables
from tests.codebuild.batching import DONE, Batches, Fields, groups, make_batches, phases, statuses
from tests.codebuild.conftest import ENVIRONMENT

pytestmark = pytest.mark.guests

CASES = tables.read(Path(__file__).with_name("batches.yaml"))


@pytest.fixture(scope="session")
def batches(bench: Any) -> Batches:
    return make_batches(bench)


def test_every_case_has_a_name_of_its_own_and_a_page() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case.get("page") and "expect" in case for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_batch_does_as_codebuild_does(batches: Batches, case: Fields) -> None:
    batch = batches.run(_project(batches, case), **case.get("start", {}))
    expect = case["expect"]
    if "refused" in expect:
        _check_refused(batches, batch, expect["refused"])
        return
    status = expect.get("status", "SUCCEEDED")
    assert statuses(batch) == expect["groups"]
    assert (batch["buildBatchStatus"], batch["currentPhase"]) == (status, status)
    assert batch["endTime"] >= batch["startTime"]
    failed = [*DONE[:3], "FAILED"]
    assert [name for name, _ in phases(batch)] == (DONE if status == "SUCCEEDED" else failed)
    _check_groups(batches, batch, expect)
    for identifier, fragments in expect.get("log", {}).items():
        told = batches.log(batch, identifier)
        assert all(fragment in told for fragment in fragments), told


def _project(batches: Batches, case: Fields) -> str:
    settings = dict(case.get("project", {}))
    if "environment" in settings:
        settings["environment"] = {**ENVIRONMENT, **settings["environment"]}
    if "files" in case:
        key = batches.bench.upload(case["files"])
        settings["source"] = {"type": "S3", "location": f"{batches.bench.bucket}/{key}"}
    return batches.project(case.get("buildspec", ""), case.get("config"), **settings)


def _check_refused(batches: Batches, batch: Fields, expect: Fields) -> None:
    """The batch ends when its spec is read; no task was built."""
    assert phases(batch) == [
        ("SUBMITTED", "SUCCEEDED"),
        ("DOWNLOAD_BATCHSPEC", "FAILED"),
        ("FAILED", None),
    ]
    [context] = batch["phases"][1]["contexts"]
    assert context["statusCode"] == expect["code"], context
    assert expect["message"] in context["message"]
    assert list(groups(batch)) == ["DOWNLOAD_SOURCE"]
    build = batches.build(batch, "DOWNLOAD_SOURCE")
    assert build["buildStatus"] == "FAILED"
    told = f"{context['statusCode']} Message: {context['message']}"
    assert told in batches.log(batch, "DOWNLOAD_SOURCE")


def _check_groups(batches: Batches, batch: Fields, expect: Fields) -> None:
    found = groups(batch)
    for identifier, names in expect.get("depends", {}).items():
        assert found[identifier]["dependsOn"] == names
    for identifier in expect["groups"]:
        summary = found[identifier]["currentBuildSummary"]
        assert ("arn" not in summary) == (identifier in expect.get("not_started", []))
    for identifier, names in expect.get("after", {}).items():
        begun = batches.build(batch, identifier)["startTime"]
        assert all(batches.build(batch, name)["endTime"] <= begun for name in names)
    for identifier, environment in expect.get("environment", {}).items():
        build = batches.build(batch, identifier)
        assert environment.items() <= build["environment"].items()


# any mapping offered as a batch

_keys = st.sampled_from(
    [*KINDS, "identifier", "env", "variables", "depend-on", "static", "dynamic", "buildspec",
     "parallelism", "fast-fail", "ignore-failure", "compute-type", "fleet"]
) | st.text(max_size=3)  # fmt: skip
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["fast-fail", *KINDS]), _values, max_size=2) | _values)
def test_any_batch_is_read_or_refused_with_the_reason(batch: Any) -> None:
    text = yaml.safe_dump({"version": 0.2, "batch": batch})
    try:
        found = read(text)
    except BuildspecError as error:
        assert str(error)
    else:
        assert found.tasks


# test splitting


@pytest.mark.parametrize("strategy", [splitting.EQUAL, splitting.STABLE])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_file_is_some_builds_and_only_ones(strategy: str, count: int) -> None:
    files = [f"tests/test_{number}.py" for number in range(20)]
    shares = [splitting.share(files, n, count, strategy) for n in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == sorted(files)
    if strategy == splitting.EQUAL:
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert [name for share in shares for name in share] == sorted(files)


def test_a_stable_share_stays_when_a_file_is_added() -> None:
    files = [f"tests/test_{number}.py" for number in range(20)]
    before = {name: n for n in range(1, 5) for name in splitting.share(files, n, 4, "stability")}
    after = {
        name: n
        for n in range(1, 5)
        for name in splitting.share([*files, "tests/a_new_one.py"], n, 4, "stability")
    }
    assert before.items() <= after.items()
