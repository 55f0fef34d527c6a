"""What a build keeps for the next one, in S3 and on the machine, and what it must not reach."""

from __future__ import annotations

import io
import os
import re
import tarfile
import time
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.hostile import chain_of_links
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.guests]

FETCH = "test -e deps/ready && echo HIT || { echo MISS; sleep 0.7; mkdir -p deps; date +%s%N > deps/ready; }"


def spec(*paths: str, command: str = FETCH, more: str = "") -> dict[str, str]:
    lines = "".join(f"    - '{path}'\n" for path in paths)
    text = f"version: 0.2\nphases:\n  build:\n    commands:\n      - {command}\ncache:\n{more}  paths:\n{lines}"
    return {"type": "NO_SOURCE", "buildspec": text}


def s3_cache(bench: Any, **more: Any) -> dict[str, Any]:
    return {"type": "S3", "location": f"{bench.bucket}/caches-{uuid4().hex[:8]}", **more}


LOCAL = {"type": "LOCAL", "modes": ["LOCAL_CUSTOM_CACHE"]}


def seconds(build: dict[str, Any]) -> float:
    return (build["endTime"] - build["startTime"]).total_seconds()


def found(bench: Any, build: dict[str, Any]) -> str:
    """HIT or MISS, as the build said."""
    assert build["buildStatus"] == "SUCCEEDED", bench.log(build)
    [word] = [line for line in bench.log(build) if line in ("HIT", "MISS")]
    return word


@pytest.mark.parametrize("kind", ["S3", "LOCAL"])
def test_the_second_build_is_faster(bench: Any, kind: str) -> None:
    cache = s3_cache(bench) if kind == "S3" else LOCAL
    project = bench.project(source=spec("deps/**/*"), cache=cache)
    first, second, third = (bench.run(project) for _ in range(3))
    assert [found(bench, build) for build in (first, second, third)] == ["MISS", "HIT", "HIT"]
    assert min(seconds(second), seconds(third)) < seconds(first)
    bench.codebuild.invalidate_project_cache(projectName=project)
    assert found(bench, bench.run(project)) == "MISS"
    assert found(bench, bench.run(project)) == "HIT"


def test_the_projects_override_turns_it_off(bench: Any) -> None:
    project = bench.project(source=spec("deps/**/*"), cache=s3_cache(bench))
    bench.run(project)
    build = bench.run(project, cacheOverride={"type": "NO_CACHE"})
    assert found(bench, build) == "MISS"
    assert any("Skip cache due to: the project has no cache" in line for line in bench.log(build))


def test_home_directories_single_files_and_links_are_kept(bench: Any) -> None:
    command = (
        "test -e ~/.tool/x && cat ~/.tool/x one.txt && readlink link && echo HIT ||"
        " { echo MISS; mkdir -p ~/.tool; echo tool > ~/.tool/x; echo one > one.txt; ln -s one.txt link; }"
    )
    source = spec("/root/.tool/**/*", "one.txt", "link", command=command)
    project = bench.project(source=source, cache=s3_cache(bench))
    assert found(bench, bench.run(project)) == "MISS"
    again = bench.run(project)
    assert found(bench, again) == "HIT"
    assert {"tool", "one", "one.txt"} <= set(bench.log(again))


def test_a_key_is_written_once_and_fallback_keys_find_its_like(bench: Any) -> None:
    cache = s3_cache(bench)
    files = {"lock.txt": "one"}
    make = (
        "{ test -e deps/x && cat deps/x || echo none; }; mkdir -p deps; echo made-by-$WHO > deps/x"
    )
    text = (
        "version: 0.2\nphases: {build: {commands: ['%s']}}\n"
        "cache: {key: 'lock-$(codebuild-hash-files lock.txt)', fallback-keys: [lock-], paths: [deps/**/*]}\n"
    )

    def run(project: str, lock: str, who: str) -> list[str]:
        files.update({"lock.txt": lock, "buildspec.yml": text % make})
        override = f"{bench.bucket}/{bench.upload(files)}"
        build = bench.run(
            project,
            sourceLocationOverride=override,
            environmentVariablesOverride=[{"name": "WHO", "value": who}],
        )
        assert build["buildStatus"] == "SUCCEEDED", bench.log(build)
        return bench.log(build)

    project = bench.project(source={"type": "S3", "location": f"{bench.bucket}/x.zip"}, cache=cache)
    assert "none" in run(project, "one", "a")
    log = run(project, "one", "b")
    assert "made-by-a" in log
    assert any("is there already" in line for line in log)
    assert "made-by-a" in run(project, "one", "c")  # b did not write it again
    assert "made-by-a" in run(project, "two", "d")  # by its fallback key
    assert "made-by-d" in run(project, "two", "e")


def test_a_namespace_is_shared_by_projects(bench: Any) -> None:
    cache = s3_cache(bench, cacheNamespace="team")
    one, two = (bench.project(source=spec("deps/**/*"), cache=cache) for _ in range(2))
    assert found(bench, bench.run(one)) == "MISS"
    assert found(bench, bench.run(two)) == "HIT"


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../*", "/work/**/*", "out/**/*"])
def test_nothing_outside_the_build_is_kept(bench: Any, path: str) -> None:
    cache = s3_cache(bench)
    command = "ln -s /etc out; echo MISS"
    project = bench.project(source=spec(path, command=command), cache=cache)
    assert found(bench, bench.run(project)) == "MISS"
    bucket, prefix = cache["location"].split("/", 1)
    listed = bench.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    assert listed["KeyCount"] == 0


def test_an_archive_with_bad_members_writes_nothing_outside(bench: Any) -> None:
    cache = s3_cache(bench)
    project = bench.project(source=spec("deps/**/*"), cache=cache)
    bench.run(project)
    s3, (bucket, prefix) = bench.aws.client("s3"), cache["location"].split("/", 1)
    [item] = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for name in ("src/../../../../../evil", "/evil", "src/deps/ready", "elsewhere/evil"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
        link = tarfile.TarInfo("src/way-out")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    s3.put_object(Bucket=bucket, Key=item["Key"], Body=body.getvalue())
    build = bench.run(project)
    assert found(bench, build) == "HIT"
    assert sum("Skipping cache member" in line for line in bench.log(build)) >= 3
    # os.walk, unlike rglob, does not mind what other builds take away meanwhile
    assert not [at for at, _, files in os.walk(bench.aws.guests_dir) if "evil" in files]


def test_a_chain_of_links_too_long_to_follow_does_not_lead_out(bench: Any) -> None:
    """CVE-2025-4517: tarfile's own filters let this one out."""
    cache = s3_cache(bench)
    project = bench.project(source=spec("deps/**/*"), cache=cache)
    bench.run(project)
    s3, (bucket, prefix) = bench.aws.client("s3"), cache["location"].split("/", 1)
    [item] = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    body = chain_of_links("src/", "../../../../..", "evil-chain")
    s3.put_object(Bucket=bucket, Key=item["Key"], Body=body)
    said = bench.log(bench.run(project))
    # which of them, and whether a file is left inside, depends on the length of the build's own path
    refusals = ("it leads outside", "it is no link any more", "The cache was not restored")
    assert any(refusal in line for refusal in refusals for line in said)
    guests = bench.aws.guests_dir
    written = [at for at, _, files in os.walk(guests) if "evil-chain" in files]
    assert all(re.search(r"/output/src\d+/src(/|$)", at) for at in written), written
    assert not (guests.parent / "evil-chain").exists()


def test_an_archive_that_is_none_does_not_fail_the_build(bench: Any) -> None:
    cache = s3_cache(bench)
    project = bench.project(source=spec("deps/**/*"), cache=cache)
    bench.run(project)
    s3, (bucket, prefix) = bench.aws.client("s3"), cache["location"].split("/", 1)
    [item] = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
    s3.put_object(Bucket=bucket, Key=item["Key"], Body=b"no archive at all")
    build = bench.run(project)
    assert found(bench, build) == "MISS"
    assert any("The cache was not restored" in line for line in bench.log(build))


def test_a_cache_needs_its_place(bench: Any) -> None:
    with pytest.raises(ClientError, match="location must be set for cache type S3"):
        bench.project(cache={"type": "S3"})
    with pytest.raises(ClientError, match="at least one mode must be set"):
        bench.project(cache={"type": "LOCAL"})


def test_cloudwatch_is_told_of_each_build(bench: Any) -> None:
    good = bench.project(source=spec("x", command="'true'"))
    for command in ("true", "false"):
        bench.run(good, buildspecOverride=spec("x", command=f"'{command}'")["buildspec"])
    cloudwatch = bench.aws.client("cloudwatch")

    def total(name: str) -> float:
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/CodeBuild",
            MetricName=name,
            Dimensions=[{"Name": "ProjectName", "Value": good}],
            StartTime=time.time() - 3600,
            EndTime=time.time() + 3600,
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    eventually(lambda: total("Builds"), enough=lambda builds: builds >= 2)
    assert [total(name) for name in ("Builds", "SucceededBuilds", "FailedBuilds")] == [2, 1, 1]
    assert total("Duration") > 0
    assert total("DownloadSourceDuration") > 0
