"""Artifacts as data: each case of `artifacts.yaml` is built for real, into a bucket of its own.

`page` says where the expectation comes from; "unsettled" in it, that no source settles it. What
goes in:

- `files`: the source, by name; `commands`: of BUILD (`install`: of INSTALL);
- `artifacts`: the buildspec's section;
- `target`, `secondary`: what the project says of its artifacts, other than that they go to S3, into
  the case's bucket.

What comes out, in `expect`:

- `status`, SUCCEEDED if it is not said; `message`: of UPLOAD_ARTIFACTS, which failed;
  `uploads: false`: that phase is not there; `error`: of CreateProject;
- `zip`: the files of made.zip; `zips`: those of several; `objects`: all that is in the bucket and no
  zip (`<build>` is the build's UUID, `<date>` today); an empty one: nothing is in the bucket;
- `modes`, `links`: of made.zip's files; `shown`: a part of the build's `artifacts`, `secondary` of
  its `secondaryArtifacts`; `sse`: what each object is encrypted with; `log`, `not_log`: fragments.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import stat
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from labkit.cloud.codebuild.artifacts.globs import pattern
from labkit.cloud.shared import archives
from tests import tables

pytestmark = pytest.mark.guests

CASES = tables.read(Path(__file__).with_name("artifacts.yaml"))
KEYS = {
    "name",
    "page",
    "files",
    "commands",
    "install",
    "artifacts",
    "target",
    "secondary",
    "expect",
}
EXPECTED = {
    *("status", "message", "uploads", "error", "zip", "zips", "objects", "modes", "links"),
    *("shown", "secondary", "sse", "log", "not_log"),
}  # fmt: skip
NAME = "made.zip"


def test_every_case_has_a_name_of_its_own_and_a_page_and_is_looked_at() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case.get("page") for case in CASES)
    assert {key for case in CASES for key in case} <= KEYS
    assert {key for case in CASES for key in case["expect"]} <= EXPECTED


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_artifacts_are_codebuilds(bench: Any, case: dict[str, Any]) -> None:
    bucket, expect = f"artifacts-{uuid4().hex[:12]}", case["expect"]
    bench.aws.client("s3").create_bucket(Bucket=bucket)
    if "error" in expect:
        with pytest.raises(ClientError) as refused:
            _project(bench, case, bucket)
        error = refused.value.response["Error"]
        assert error == {"Code": "InvalidInputException", "Message": expect["error"]}
        return
    build = bench.run(_project(bench, case, bucket))
    told = "\n".join(bench.log(build))
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    known = {"build": build["id"].split(":")[1], "date": today, "bucket": bucket}
    expect = _filled(expect, known)
    _check_phase(build, expect, told)
    _check_bucket(bench, bucket, expect, told)
    _check_log(told, expect)
    _check_shown(build, expect)


def _project(bench: Any, case: dict[str, Any], bucket: str) -> str:
    phases = {"build": {"commands": case.get("commands", ["true"])}}
    if "install" in case:
        phases["install"] = {"commands": case["install"]}
    spec = {"version": 0.2, "phases": phases, "artifacts": case.get("artifacts")}
    source: dict[str, str] = {"type": "NO_SOURCE"}
    if "files" in case:
        source = {"type": "S3", "location": f"{bench.bucket}/{bench.upload(case['files'])}"}
    to_s3 = {"type": "S3", "location": bucket, "name": NAME, "packaging": "ZIP"}
    return bench.project(
        source={**source, "buildspec": json.dumps({k: v for k, v in spec.items() if v})},
        artifacts=_target(to_s3, case.get("target", {})),
        secondaryArtifacts=[_target(to_s3, item) for item in case.get("secondary", [])],
    )


def _target(usual: dict[str, str], own: dict[str, Any]) -> dict[str, Any]:
    """What the project says of an artifact; only one that goes to S3 has a place there."""
    return {**usual, **own} if own.get("type", "S3") == "S3" else own


def _filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_filled(key, known): _filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, known) for item in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"<(build|date|bucket)>", lambda found: known[found[1]], value)


def _check_phase(build: dict[str, Any], expect: dict[str, Any], told: str) -> None:
    failed = "message" in expect
    status = expect.get("status", "FAILED" if failed else "SUCCEEDED")
    assert build["buildStatus"] == status, told
    phases = {phase["phaseType"]: phase for phase in build["phases"]}
    assert ("UPLOAD_ARTIFACTS" in phases) == expect.get("uploads", True), told
    if "UPLOAD_ARTIFACTS" not in phases:
        return
    [context] = phases["UPLOAD_ARTIFACTS"]["contexts"]
    assert phases["UPLOAD_ARTIFACTS"]["phaseStatus"] == ("FAILED" if failed else "SUCCEEDED"), told
    assert context["statusCode"] == ("CLIENT_ERROR" if failed else "")
    assert expect.get("message", "") in context["message"]


def _check_bucket(bench: Any, bucket: str, expect: dict[str, Any], told: str) -> None:
    s3 = bench.aws.client("s3")
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    found = {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"]) for item in listed}
    bodies = {key: item["Body"].read() for key, item in found.items()}
    zips = {**expect.get("zips", {}), **({NAME: expect["zip"]} if "zip" in expect else {})}
    objects = expect.get("objects", {})
    assert set(bodies) == {*zips, *objects}, told
    for key, files in zips.items():
        with zipfile.ZipFile(io.BytesIO(bodies[key])) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            texts = {name: archive.read(name).decode() for name in infos}
        assert len(texts) == len(infos)
        links = expect.get("links", {})
        assert {name: text for name, text in texts.items() if name not in links} == files, told
        for name, target in links.items():
            assert stat.S_ISLNK(infos[name].external_attr >> 16)
            assert texts[name] == target
        for name, mode in expect.get("modes", {}).items():
            assert f"{stat.S_IMODE(infos[name].external_attr >> 16):o}" == str(mode)
    assert {key: bodies[key].decode() for key in objects} == objects, told
    for key, encryption in expect.get("sse", {}).items():
        assert found[key].get("ServerSideEncryption") == encryption


def _check_log(told: str, expect: dict[str, Any]) -> None:
    start = 0
    for fragment in expect.get("log", []):
        place = told.find(fragment, start)
        assert place >= 0, f"{fragment!r} is not in the log (in order):\n{told}"
        start = place + len(fragment)
    for fragment in expect.get("not_log", []):
        assert fragment not in told, told


def _check_shown(build: dict[str, Any], expect: dict[str, Any]) -> None:
    shown = build.get("artifacts", {})
    for name, value in expect.get("shown", {}).items():
        assert shown.get(name) == value, name
    secondary = [
        {name: item.get(name) for name in ("artifactIdentifier", "location")}
        for item in build.get("secondaryArtifacts", [])
    ]
    if "secondary" in expect:
        assert secondary == expect["secondary"]


def test_the_sums_are_the_objects(bench: Any) -> None:
    """AWS page: "BuildArtifacts": sha256sum and md5sum of a ZIP, and of nothing else."""
    [case] = [case for case in CASES if case["name"] == "a file in a folder of the bucket"]
    bucket = f"artifacts-{uuid4().hex[:12]}"
    bench.aws.client("s3").create_bucket(Bucket=bucket)
    folder = bench.run(_project(bench, case, bucket))["artifacts"]
    assert not {"sha256sum", "md5sum"} & set(folder)
    zipped = bench.run(_project(bench, {**case, "target": {}}, bucket))["artifacts"]
    body = bench.aws.client("s3").get_object(Bucket=bucket, Key=NAME)["Body"].read()
    assert zipped["sha256sum"] == hashlib.sha256(body).hexdigest()
    assert zipped["md5sum"] == hashlib.md5(body).hexdigest()


def test_a_large_file_is_packed_without_holding_it(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    tracemalloc.start()
    with (tmp_path / "large.zip").open("wb") as output:
        archives.pack([("large", large)], output)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    """A command that still runs may put a pipe, or a link, where a file was found."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("pipe", "link"):
        with pytest.raises(OSError):
            archives.opened(tmp_path / name)


def _plain(glob: str) -> re.Pattern[str]:
    """The meaning of a glob, without care for how long it takes."""
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"((?:(?<=/)|^)\*\*/|\*\*|\*|\?)", glob)
    text = "".join(signs.get(part, re.escape(part)) for part in parts)
    return re.compile(text, re.DOTALL)


def test_globs_mean_what_they_say() -> None:
    chance = random.Random(1)
    for _ in range(5000):
        glob = "".join(
            chance.choices(["a", "b", "*", "**", "**/", "/", "?"], k=chance.randint(1, 6))
        )
        name = "".join(chance.choices("ab/", k=chance.randint(1, 8)))
        if "***" not in glob:
            assert bool(pattern(glob).fullmatch(name)) == bool(_plain(glob).fullmatch(name)), glob


@pytest.mark.parametrize(
    "glob", ["*a" * 12 + "*b", "**/" * 12 + "x", "**a" * 12 + "b", "**/*a*/" * 6]
)
def test_no_glob_takes_long(glob: str) -> None:
    assert not pattern(glob).fullmatch("a" * 250)
    assert not pattern(glob).fullmatch("aaa/" * 60 + "c")
