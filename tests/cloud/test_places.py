"""Where guests live: no blank in a path that a build file or a hook would have to quote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.cloud.front import launcher
from tests.codebuild.conftest import make_bench
from tests.codebuild.test_builds import inline
from tests.conftest import Aws

pytestmark = [pytest.mark.slow, pytest.mark.guests]

UNQUOTED = """version: 0.2
phases:
  build:
    commands:
      - cd $CODEBUILD_SRC_DIR && mkdir -p $HOME/.config $TMPDIR/mine && echo yes > $TMPDIR/mine/file
      - cp $TMPDIR/mine/file $CODEBUILD_SRC_DIR/out.txt
      - for each in $CODEBUILD_SRC_DIR $HOME $TMPDIR $(which node) $(which aws); do echo at:$each; done
artifacts: {files: [out.txt]}
"""


@pytest.mark.parametrize("isolation", ["the best", "none"])
def test_a_build_need_not_quote_its_paths(
    isolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isolation == "none":
        monkeypatch.setenv("LABKIT_ISOLATION", "none")
    state_dir = tmp_path / "state of the läb"
    aws = Aws(launcher.up(state_dir)[0])
    try:
        assert aws.guests_dir.stat().st_mode & 0o777 == 0o700
        bench = make_bench(aws)
        where = {"type": "S3", "location": bench.bucket, "path": "out", "packaging": "NONE"}
        project = bench.project(source=inline(UNQUOTED), artifacts=where)
        build = bench.run(project)
        log = bench.log(build)
        assert build["buildStatus"] == "SUCCEEDED", "\n".join(log)
        paths = [line.removeprefix("at:") for line in log if line.startswith("at:")]
        assert len(paths) == 5
        assert [path for path in paths if re.search(r"[^\w/.+-]", path, re.ASCII)] == []
        listed = aws.client("s3").list_objects_v2(Bucket=bench.bucket, Prefix="out/")
        assert [one["Key"] for one in listed["Contents"]] == [f"out/{project}/out.txt"]
    finally:
        launcher.down(state_dir)
    assert not aws.guests_dir.exists()
