"""Builds that really ran, as tables: what failed and why, what ran all the same, tests, a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labkit import observe
from labkit.lab import Lab
from labkit.observe.builds import PHASES
from labkit.provision import artifacts, build, roles, tear_down
from tests.roles import create_role

pytestmark = pytest.mark.slow

JUNIT = (
    '<testsuite name="s"><testcase name="adds" time="0.25"/>'
    '<testcase name="divides"><failure message="by zero"/></testcase></testsuite>'
)


@pytest.fixture(scope="module")
def lab(aws: Any) -> Iterator[Lab]:
    """A project that runs what it is handed, with the roles and the log of the lessons."""
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab("tables")
        roles.create_roles(lab)
        artifacts.create_bucket(lab)
        build.create_log_group(lab)
        build.create_project(lab)
        lab.client("codebuild").update_project(
            name=lab.project,
            source={"type": "NO_SOURCE", "buildspec": spec(build="true")},
            artifacts={"type": "NO_ARTIFACTS"},
        )
        yield lab
        tear_down(lab)


def spec(more: dict[str, Any] | None = None, **commands: str) -> str:
    phases = {phase: {"commands": [command]} for phase, command in commands.items()}
    return json.dumps({"version": 0.2, "phases": phases, **(more or {})})


def run(lab: Lab, buildspec: str) -> str:
    started = lab.client("codebuild").start_build(
        projectName=lab.project, buildspecOverride=buildspec
    )
    return observe.wait_for_build(lab, started["build"]["id"])["id"]


def test_what_failed_and_what_ran_all_the_same(lab: Lab) -> None:
    ids = {
        "tests": run(lab, spec(build="sh -c 'exit 3'")),
        "typo": run(lab, spec(biuld="true")),
        "good": run(lab, spec(build="true")),
    }
    failed = observe.failed_phases(lab, ids)
    assert failed.drop(columns="message").values.tolist() == [
        ["tests", "BUILD", "FAILED", "COMMAND_EXECUTION_ERROR"],
        ["typo", "DOWNLOAD_SOURCE", "FAILED", "YAML_FILE_ERROR"],
    ]
    assert failed["message"][0].endswith("sh -c 'exit 3'. Reason: exit status 3")
    grid = observe.phase_grid(lab, ids)
    assert grid.index.tolist() == PHASES
    assert grid.loc[["INSTALL", "BUILD", "POST_BUILD"]].values.tolist() == [
        ["SUCCEEDED", "", "SUCCEEDED"],
        ["FAILED", "", "SUCCEEDED"],
        ["SUCCEEDED", "", "SUCCEEDED"],
    ]


def test_a_build_that_is_not_there_is_said(lab: Lab) -> None:
    missing = f"{lab.project}:00000000-0000-0000-0000-000000000000"
    for table in (observe.failed_phases, observe.phase_grid):
        with pytest.raises(LookupError, match="no build tables-build:0000"):
            table(lab, {"which": missing})


def test_reported_tests_are_rows(lab: Lab) -> None:
    reports = {"reports": {"unit": {"files": ["junit.xml"], "file-format": "JUNITXML"}}}
    build_id = run(lab, spec(reports, build=f"echo '{JUNIT}' > junit.xml"))
    table = observe.reported_tests(lab, build_id).set_index("test")
    assert table["status"].to_dict() == {"divides": "FAILED", "adds": "SUCCEEDED"}
    assert table.loc["adds", "milliseconds"] == 250
    assert table.loc["divides", "message"] == "by zero"
    assert observe.reported_tests(lab, run(lab, spec(build="true"))).empty


def test_the_builds_of_a_batch_are_rows(lab: Lab) -> None:
    iam, name = lab.client("iam"), lab.role("batch")
    role = create_role(lab, name, "codebuild.amazonaws.com")
    medium = {"compute-type": "BUILD_GENERAL1_MEDIUM"}
    tasks = [
        {"identifier": "one", "env": {**medium, "variables": {"WORKS": "false"}}},
        {"identifier": "two", "depend-on": ["one"]},
    ]
    batch = lab.client("codebuild").start_build_batch(
        projectName=lab.project,
        buildspecOverride=spec({"batch": {"build-graph": tasks}}, build="${WORKS:-true}"),
        buildBatchConfigOverride={"serviceRole": role},
    )["buildBatch"]
    try:
        assert observe.wait_for_batch(lab, batch["id"])["buildBatchStatus"] == "FAILED"
        table = observe.batch_builds(lab, batch["id"]).set_index("build")
        assert table.loc["one", ["status", "compute"]].tolist() == [
            "FAILED",
            medium["compute-type"],
        ]
        assert table.loc["two", ["after", "compute", "id"]].tolist() == ["one", "", ""]
        assert table.loc["one", "seconds"] > 0
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="own")
        iam.delete_role(RoleName=name)
