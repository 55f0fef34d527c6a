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
import yaml

CASES = yaml.safe_load((Path(__file__).parent / "buildspecs.yaml").read_text(encoding="utf-8"))


def test_every_case_has_a_name_of_its_own_a_page_and_one_expectation() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.get("page"), case
        assert ("buildspec" in case) != ("file" in case), case
        assert ("accepted" in case) != ("refused" in case), case


@pytest.fixture(scope="module")
def started(bench: Any) -> dict[str, str]:
    """All cases' builds, started at once: name to build id."""
    ids = {}
    for case in CASES:
        project = bench.project(source=_source(bench, case))
        build = bench.codebuild.start_build(projectName=project)["build"]
        ids[case["name"]] = build["id"]
    return ids


def _source(bench: Any, case: dict[str, Any]) -> dict[str, Any]:
    if "buildspec" in case:
        return {"type": "NO_SOURCE", "buildspec": case["buildspec"]}
    key = bench.upload({"buildspec.yml": base64.b64decode(case["file"])})
    return {"type": "S3", "location": f"{bench.bucket}/{key}"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_buildspec_is_read_as_codebuild_reads_it(
    bench: Any, started: dict[str, str], case: dict[str, Any]
) -> None:
    build = bench.wait(started[case["name"]])
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
