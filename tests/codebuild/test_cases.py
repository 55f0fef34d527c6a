"""CodeBuild's behaviour as data: each case of `cases.yaml` is built for real and compared.

`page` says where the expectation comes from; "unsettled" in it, that no source settles it, or which
part. What goes in:

- `buildspec`: the project's, or, where there are `files`, their buildspec.yml;
- `files`, `source`: a zip in S3 that is the source, and what else the source says; `archive`: the
  text of an object that stands in that zip's place; `secondary`: further sources by identifier;
- `project`, `environment`, `start`: parameters of CreateProject, of its environment, of StartBuild;
- `parameters`, `secrets`, `objects`: in Parameter Store, Secrets Manager (of a list, each value is
  a version) and the bucket; `deny`: actions that the service role may not do;
- `skip_if`: a command; where it succeeds, this machine cannot show the case;
- `not_yet`: why the lab does otherwise than AWS; the case must fail until it is taken away.

`<bucket>`, `<arn of NAME>` and `<first version of NAME>` (of secrets) and `<5 times x>` in a text
are replaced. What comes out, in `expect`:

- `error`: of CreateProject or StartBuild; else the build's `status`, the phases it is `without`,
  and the `phases` that did not succeed or said something;
- `log`: fragments, in order; `log_count`: how often each is there; `not_log`: those that are not;
  `agent`: regular expressions of whole lines of the build agent, in order, without their times;
- `variables`: what `printenv` showed, as regular expressions (`<KEY>`: that key of the build; null:
  not there); `build`: a part of what BatchGetBuilds answers; `artifact`, `exported`: the whole.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.codebuild.conftest import ENVIRONMENT
from tests.roles import EVERYTHING, create_role

pytestmark = pytest.mark.guests

CASES = tables.read(Path(__file__).with_name("cases.yaml"))
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
GOOD = {"statusCode": "", "message": ""}
AGENT_LINE = re.compile(r"\[Container\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} (.*)")
KEYS = set(
    [
        "name",
        "page",
        "buildspec",
        "files",
        "source",
        "archive",
        "secondary",
        "project",
        "environment",
        "start",
        "parameters",
        "secrets",
        "objects",
        "deny",
        "skip_if",
        "not_yet",
        "expect",
    ]
)
EXPECTED = set(
    [
        "error",
        "status",
        "without",
        "phases",
        "log",
        "log_count",
        "not_log",
        "agent",
        "variables",
        "build",
        "artifact",
        "exported",
    ]
)


def test_every_case_has_a_name_of_its_own_and_a_page() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case.get("page") for case in CASES)


def test_no_case_says_what_is_not_looked_at() -> None:
    assert {key for case in CASES for key in case} <= KEYS
    assert {key for case in CASES for key in case["expect"]} <= EXPECTED


def _marked(case: dict[str, Any]) -> Any:
    missing = case.get("not_yet")
    marks = [pytest.mark.xfail(strict=True, reason=missing)] if missing else []
    return pytest.param(case, id=case["name"], marks=marks)


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_a_build_does_as_codebuild_does(bench: Any, case: dict[str, Any]) -> None:
    if "skip_if" in case and _succeeds(case["skip_if"]):
        pytest.skip("this machine cannot show it")
    case = _filled(case, {"bucket": bench.bucket, **_put_values(bench, case)})
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(ClientError) as refused:
            _start(bench, case)
        _check_error(refused.value, expect["error"])
        return
    build = _start(bench, case)
    log = bench.log(build) if "groupName" in build["logs"] else []
    told = "\n".join(log)
    assert build["buildStatus"] == expect.get("status", "SUCCEEDED"), told
    _check_phases(build, expect, told)
    _check_log(told, expect)
    _check_agent(log, expect.get("agent", []))
    _check_variables(log, expect.get("variables", {}), build)
    _check_part(build, expect.get("build", {}))
    if "artifact" in expect:
        assert bench.unzip("out/artifact.zip") == expect["artifact"], told
    if "exported" in expect:
        exported = {item["name"]: item["value"] for item in build["exportedEnvironmentVariables"]}
        assert exported == expect["exported"], told


# what goes in


def _start(bench: Any, case: dict[str, Any]) -> dict[str, Any]:
    settings = {
        "environment": {**ENVIRONMENT, **case.get("environment", {})},
        **case.get("project", {}),
        "source": _source(bench, case),
    }
    if "secondary" in case:
        settings["secondarySources"] = [
            {"sourceIdentifier": name, **_in_s3(bench, files)}
            for name, files in case["secondary"].items()
        ]
    if "deny" in case:
        settings["serviceRole"] = _role_without(bench, case["deny"])
    if "artifact" in case["expect"]:
        settings.setdefault(
            "artifacts",
            {"type": "S3", "location": bench.bucket, "path": "out", "name": "artifact.zip",
             "packaging": "ZIP"},
        )  # fmt: skip
    return bench.run(**{"project": bench.project(**settings), **case.get("start", {})})


def _source(bench: Any, case: dict[str, Any]) -> dict[str, Any]:
    files = dict(case.get("files", {}))
    if "buildspec" in case and files:
        files["buildspec.yml"] = case["buildspec"]
    if "archive" in case:
        key = f"source/{uuid4().hex}.zip"
        bench.aws.client("s3").put_object(Bucket=bench.bucket, Key=key, Body=case["archive"])
        source = {"type": "S3", "location": f"{bench.bucket}/{key}"}
    elif files:
        source = _in_s3(bench, files)
    elif "source" in case:
        source = {"type": "S3"}
    else:
        source = {"type": "NO_SOURCE", "buildspec": case["buildspec"]}
    chosen = {**source, **case.get("source", {})}
    if chosen["type"] == "CODEPIPELINE":
        del chosen["location"]
    return chosen


def _in_s3(bench: Any, files: Mapping[str, str]) -> dict[str, str]:
    return {"type": "S3", "location": f"{bench.bucket}/{bench.upload(files)}"}


def _put_values(bench: Any, case: dict[str, Any]) -> dict[str, str]:
    """Put a case's parameters, secrets and objects in place; the texts that name the secrets."""
    ssm, s3 = bench.aws.client("ssm"), bench.aws.client("s3")
    for name, value in case.get("parameters", {}).items():
        ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
    for name, text in case.get("objects", {}).items():
        s3.put_object(Bucket=bench.bucket, Key=name, Body=text)
    known = {}
    for name, values in case.get("secrets", {}).items():
        first, *more = values if isinstance(values, list) else [values]
        made = _put_secret(bench.aws.client("secretsmanager"), name, first)
        for value in more:
            _put_secret(bench.aws.client("secretsmanager"), name, value)
        known |= {f"arn of {name}": made["ARN"], f"first version of {name}": made["VersionId"]}
    return known


def _put_secret(client: Any, name: str, value: str) -> dict[str, str]:
    try:
        return client.create_secret(Name=name, SecretString=value)
    except client.exceptions.ResourceExistsException:
        return client.put_secret_value(SecretId=name, SecretString=value)


def _role_without(bench: Any, actions: list[str]) -> str:
    """The ARN of a service role that may do all but `actions`."""
    denied = {"Effect": "Deny", "Action": actions, "Resource": "*"}
    name = f"codebuild-cases-{uuid4().hex[:8]}"
    return create_role(bench.aws, name, "codebuild.amazonaws.com", policy=[EVERYTHING, denied])


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    """`value` with what stands for something else in its texts replaced."""
    if isinstance(value, dict):
        return {_filled(key, known): _filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"<(\d+) times (.)>", lambda found: found[2] * int(found[1]), value)
    for name, text in known.items():
        value = value.replace(f"<{name}>", text)
    return value


def _succeeds(command: str) -> bool:
    return not subprocess.run(["sh", "-c", command], capture_output=True, check=False).returncode


# what comes out


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
        assert phase["durationInSeconds"] >= 0
        if name in ("SUBMITTED", "QUEUED"):
            assert "contexts" not in phase
            continue
        [context] = phase["contexts"]
        if name in wrong:
            assert context["statusCode"] == wrong[name].get("code", ""), context
            assert wrong[name].get("message", "") in context["message"]
        else:
            assert context == GOOD


def _check_log(told: str, expect: dict[str, Any]) -> None:
    start = 0
    for fragment in expect.get("log", []):
        found = told.find(str(fragment), start)
        assert found >= 0, f"{fragment!r} is not in the log (in order):\n{told}"
        start = found + len(str(fragment))
    for fragment in expect.get("not_log", []):
        assert str(fragment) not in told, told
    for fragment, count in expect.get("log_count", {}).items():
        assert told.count(fragment) == count, told


def _check_agent(log: list[str], patterns: list[str]) -> None:
    lines = [line for line in log if line.startswith("[Container]")]
    said = [match[1] for line in lines if (match := AGENT_LINE.fullmatch(line))]
    assert len(said) == len(lines), "a line of the agent has not the agent's form"
    rest = iter(said)
    for pattern in patterns:
        assert any(re.fullmatch(pattern, line) for line in rest), (pattern, said)


def _check_variables(log: list[str], expect: dict[str, str | None], build: dict[str, Any]) -> None:
    shown = dict(line.split("=", 1) for line in log if re.match(r"\w+=", line))
    for name, pattern in expect.items():
        if pattern is None:
            assert name not in shown
            continue
        known = re.sub(r"<(\w+)>", lambda found: re.escape(str(build[found[1]])), pattern)
        assert re.fullmatch(known, shown[name]), (name, known, shown[name])


def _check_part(found: Any, part: Any, where: str = "build") -> None:
    """Compare what `part` says of `found`."""
    if not isinstance(part, dict):
        assert found == part, where
        return
    for key, value in part.items():
        _check_part(found.get(key), value, f"{where}/{key}")
