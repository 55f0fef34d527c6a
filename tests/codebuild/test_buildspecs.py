"""What CodeBuild reads as a buildspec, as data: each case of `buildspecs.yaml` is offered to a build.

A case: `buildspec` (its text, which the project has inline) or `file` (its bytes, base64, which are
the source's buildspec.yml); and `accepted`, what the log then says, or `refused`, the whole message
of the YAML_FILE_ERROR with which DOWNLOAD_SOURCE fails. `page` says where the expectation is from.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests import tables

CASES = tables.read(Path(__file__).with_name("buildspecs.yaml"))
AHEAD = 6


def test_every_case_has_a_name_of_its_own_a_page_and_one_expectation() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.get("page"), case
        assert ("buildspec" in case) != ("file" in case), case
        assert ("accepted" in case) != ("refused" in case), case


class Started:
    """Builds of the cases: a few are ahead of the one that is asked for."""

    def __init__(self, bench: Any, chosen: list[str]) -> None:
        self.bench = bench
        self.waiting = [case for case in CASES if case["name"] in chosen]
        self.ids: dict[str, str] = {}

    def of(self, case: dict[str, Any]) -> str:
        if case in self.waiting:
            first = self.waiting.index(case)
            for one in self.waiting[first : first + AHEAD]:
                project = self.bench.project(source=_source(self.bench, one))
                build = self.bench.codebuild.start_build(projectName=project)["build"]
                self.ids[one["name"]] = build["id"]
            del self.waiting[first : first + AHEAD]
        return self.ids[case["name"]]


@pytest.fixture(scope="session")
def started(bench: Any, request: pytest.FixtureRequest) -> Started:
    names = [item.callspec.id for item in request.session.items if hasattr(item, "callspec")]
    return Started(bench, names)


def _source(bench: Any, case: dict[str, Any]) -> dict[str, Any]:
    if "buildspec" in case:
        return {"type": "NO_SOURCE", "buildspec": case["buildspec"]}
    key = bench.upload({"buildspec.yml": base64.b64decode(case["file"])})
    return {"type": "S3", "location": f"{bench.bucket}/{key}"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_buildspec_is_read_as_codebuild_reads_it(
    bench: Any, started: Started, case: dict[str, Any]
) -> None:
    build = bench.wait(started.of(case))
    told = "\n".join(bench.log(build))
    phases = {phase["phaseType"]: phase for phase in build["phases"]}
    if "refused" in case:
        [context] = phases["DOWNLOAD_SOURCE"]["contexts"]
        assert context == {"statusCode": "YAML_FILE_ERROR", "message": case["refused"]}
        assert build["buildStatus"] == "FAILED"
        assert "INSTALL" not in phases
        return
    if case.get("status") != "any":  # what the machine has decides, where a runtime is asked for
        assert build["buildStatus"] == case.get("status", "SUCCEEDED"), told
    for line in case["accepted"]:
        assert f"\n{line}\n" in told if not line.startswith("...") else line[3:] in told, told
