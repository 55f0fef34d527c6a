"""CodeBuild's behaviour as data: each case of `cases.yaml` is built for real and compared.

A case: `files` (the source; `buildspec` becomes its buildspec.yml) and optional `project` and
`start` settings in; `expect` out. `page` says where the expectation comes from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))
ALL_PHASES = [
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
    "COMPLETED",
]


def test_every_case_has_a_name_of_its_own_and_a_page() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case.get("page") and "expect" in case for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_build_does_as_codebuild_does(bench: Any, case: dict[str, Any]) -> None:
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(ClientError) as refused:
            _start(bench, case)
        _check_error(refused.value, expect["error"])
        return
    build = _start(bench, case)
    log = bench.log(build)
    told = "\n".join(log)
    assert build["buildStatus"] == expect.get("status", "SUCCEEDED"), told
    _check_phases(build, expect, told)
    _check_log(told, expect)
    if "artifact" in expect:
        assert bench.unzip("out/artifact.zip") == expect["artifact"], told
    if "exported" in expect:
        exported = {item["name"]: item["value"] for item in build["exportedEnvironmentVariables"]}
        assert exported == expect["exported"], told


def _start(bench: Any, case: dict[str, Any]) -> dict[str, Any]:
    for name, value in case.get("parameters", {}).items():
        bench.aws.client("ssm").put_parameter(
            Name=name, Value=value, Type="SecureString", Overwrite=True
        )
    for name, value in case.get("secrets", {}).items():
        _put_secret(bench.aws.client("secretsmanager"), name, value)
    settings = {**case.get("project", {}), "source": _source(bench, case)}
    if "artifact" in case["expect"]:
        settings.setdefault(
            "artifacts",
            {"type": "S3", "location": bench.bucket, "path": "out", "name": "artifact.zip",
             "packaging": "ZIP"},
        )  # fmt: skip
    return bench.run(bench.project(**settings), **case.get("start", {}))


def _source(bench: Any, case: dict[str, Any]) -> dict[str, Any]:
    files = dict(case.get("files", {}))
    if not files:
        return {"type": "NO_SOURCE", "buildspec": case["buildspec"]}
    if "buildspec" in case:
        files["buildspec.yml"] = case["buildspec"]
    source = {"type": "S3", "location": f"{bench.bucket}/{bench.upload(files)}"}
    chosen = {**source, **case.get("source", {})}
    if chosen["type"] == "CODEPIPELINE":
        del chosen["location"]
    return chosen


def _put_secret(client: Any, name: str, value: str) -> None:
    try:
        client.create_secret(Name=name, SecretString=value)
    except client.exceptions.ResourceExistsException:
        client.put_secret_value(SecretId=name, SecretString=value)


def _check_error(error: ClientError, expect: dict[str, str]) -> None:
    found = error.response["Error"]
    assert found["Code"] == expect["code"], found
    assert expect.get("message", "") in found["Message"]


def _check_phases(build: dict[str, Any], expect: dict[str, Any], told: str) -> None:
    phases = {phase["phaseType"]: phase for phase in build["phases"]}
    without = expect.get("without", [])
    assert list(phases) == [name for name in ALL_PHASES if name not in without], told
    wrong = expect.get("phases", {})
    for name, phase in phases.items():
        if name == "COMPLETED":
            assert set(phase) == {"phaseType", "startTime"}
            continue
        assert phase["phaseStatus"] == wrong.get(name, {}).get("status", "SUCCEEDED"), told
        assert phase["endTime"] >= phase["startTime"]
        if name in wrong:
            [context] = phase["contexts"]
            assert context["statusCode"] == wrong[name].get("code", ""), context
            assert wrong[name].get("message", "") in context["message"]


def _check_log(told: str, expect: dict[str, Any]) -> None:
    start = 0
    for fragment in expect.get("log", []):
        found = told.find(str(fragment), start)
        assert found >= 0, f"{fragment!r} is not in the log (in order):\n{told}"
        start = found + len(str(fragment))
    for fragment in expect.get("not_log", []):
        assert str(fragment) not in told, told
