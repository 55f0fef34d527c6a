"""Whatever is offered as a buildspec, a build ends: it runs, or fails with a code of AWS's.

No text, no bytes and no mapping make it fault or hang, and none makes it write beside its own
directory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labkit.cloud.codebuild.batch import spec as batch
from labkit.cloud.codebuild.buildspec import Buildspec, BuildspecError, decoded, parse

pytestmark = [pytest.mark.slow, pytest.mark.guests]

IN_PROCESS = settings(max_examples=250, deadline=2000, derandomize=True)
BUILT = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_NAMES = """version run-as env shell variables parameter-store secrets-manager exported-variables
git-credential-helper proxy batch build-list identifier phases install pre_build build post_build
commands finally on-failure runtime-versions python nodejs reports files file-format artifacts
base-directory discard-paths exclude-paths enable-symlinks s3-prefix name secondary-artifacts cache
paths key fallback-keys action << steps"""
KEYS = st.sampled_from(_NAMES.split())
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.dates(),
    st.binary(max_size=8),
    st.sampled_from(["0.1", "0.2", "bash", "RETRY-9-(", "**/*", "$(exit 3)", "echo a: b", "\0", "=",
                     "latest", "arn:aws:s3:::a", "yes", "~", "../../../x", "/etc/passwd"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
PHASE = st.fixed_dictionaries({}, optional={
    "commands": st.lists(st.just("true") | VALUES, max_size=4) | VALUES,
    "finally": VALUES, "on-failure": VALUES, "run-as": VALUES, "runtime-versions": VALUES,
})  # fmt: skip
PHASES = ("install", "pre_build", "build", "post_build")
# near enough to a buildspec that most of it is read
SPECS = st.fixed_dictionaries(
    {
        "version": st.just(0.2) | SCALARS,
        "phases": st.dictionaries(st.sampled_from(PHASES), PHASE, min_size=1) | VALUES,
    },
    optional={
        "env": st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
        "artifacts": st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
        "cache": VALUES,
        "reports": VALUES,
        "batch": VALUES,
        "run-as": VALUES,
    },
)


def offered(text: str) -> Buildspec | None:
    """What is read of a text; None if it is refused, for a reason."""
    try:
        return parse(text)
    except BuildspecError as error:
        assert str(error).strip()
        return None


def offered_to_a_batch(text: str) -> None:
    """As `offered`, to a build batch."""
    try:
        batch.read(text)
    except BuildspecError as error:
        assert str(error).strip()


def in_yaml(value: Any) -> str:
    return yaml.dump(value, allow_unicode=True)


# read or refused


@pytest.mark.slow
@given(SPECS)
@IN_PROCESS
def test_a_mapping_is_read_or_refused(spec: dict[str, Any]) -> None:
    offered(in_yaml(spec))
    offered_to_a_batch(in_yaml(spec))


@given(VALUES)
@IN_PROCESS
def test_any_value_is_read_or_refused(value: Any) -> None:
    offered(in_yaml(value))


@given(st.binary(max_size=60))
@example(b"\xff\xfe\x00")
@example(b"\xff\xfev\x00\x00\xd8")
@example(b"version: \xf0\x9f")
@IN_PROCESS
def test_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        text = decoded(data)
    except BuildspecError:
        return
    offered(text)


# what YAML is made of, in any order
PIECES = st.sampled_from(
    ["version: 0.2\n", "phases:\n", "  build:\n", "    commands:\n", "      - ", "echo a\n", "- ", ": ",
     "? ", "[", "]", "{", "}", ", ", "&a ", "*a ", "<<: ", "!!str ", "!x ", "!<", "|", ">", "|2-\n", "'",
     '"', "\\u12", "\\", "# ", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! x\n", "\t", "\r\n", "\n", " ",
     "\ufeff", "\x85", "\u2028", "\ud800", "\0", "~", "@", "`", "3.10", "{{ a }}", "{% if %}"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
@IN_PROCESS
def test_pieces_of_yaml_are_read_or_refused(text: str) -> None:
    offered(text)
    offered_to_a_batch(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "version: 0.2\nphases: " + "{build: " * 20_000 + "}" * 20_000,
        "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 60)),
        "x0: &x0 {k: v}\n" + "".join(f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}], k{n}: v}}\n"
                                     for n in range(1, 30)),
        "a: &a [*a]\n",
        "a: &a {<<: *a}\n",
        "version: 0.2\nphases: {build: {commands: [" + "true, " * 100_000 + "]}}",
        "version: 0.2\nphases: {build: {on-failure: RETRY-" + "9" * 10_000 + "}}",
        "version: 0.2\nphases: {build: {on-failure: 'RETRY-1-" + "(" * 5_000 + "'}}",
        "version: 0." + "2" * 100_000,
    ],
    ids=lambda text: text[:24].strip(),
)  # fmt: skip
def test_texts_that_are_deep_long_or_endless(text: str) -> None:
    offered(text)


# built


def _ended(bench: Any, build_ids: list[str]) -> None:
    """The builds are over, and none for a fault of CodeBuild's own."""
    for build_id in build_ids:
        build = bench.wait(build_id, seconds=30)
        told = "\n".join(bench.log(build))
        assert build["buildStatus"] in ("SUCCEEDED", "FAILED"), told[-2000:]
        assert "Traceback" not in told
        for phase in build["phases"]:
            for context in phase.get("contexts", []):
                assert context["statusCode"] != "INTERNAL_ERROR", told[-2000:]
                assert phase["phaseStatus"] == "SUCCEEDED" or context["statusCode"], told


def _start(bench: Any, project: str, text: str) -> str:
    build = bench.codebuild.start_build(projectName=project, buildspecOverride=text)["build"]
    return str(build["id"])


@pytest.fixture(scope="session")
def artifacts_project(bench: Any) -> str:
    return _project(bench, "p.zip")


def _project(bench: Any, name: str) -> str:
    """A project with a place for artifacts, and for a cache."""
    target = {"type": "S3", "location": bench.bucket, "packaging": "ZIP", "name": name}
    cache = {"type": "S3", "location": f"{bench.bucket}/{uuid4()}"}
    return str(bench.project(artifacts=target, cache=cache))


@given(st.lists(SPECS, min_size=2, max_size=2))
@BUILT
def test_a_build_of_a_mapping_ends(
    bench: Any, artifacts_project: str, specs: list[dict[str, Any]]
) -> None:
    _ended(bench, [_start(bench, artifacts_project, in_yaml(spec)) for spec in specs])


@pytest.mark.slow
def test_builds_of_extreme_values_end(bench: Any, artifacts_project: str) -> None:
    """Each of them is more than one system call or another can take."""
    long = "x" * 200_000
    simple: dict[str, Any] = {"version": 0.2, "phases": {"build": {"commands": ["true"]}}}
    extremes = [
        {"env": {"variables": {"A": long}}},
        {"env": {"variables": {"a b": "c", "1": "d", "é": "e", "x.y": "f", "-": "g"}}},
        {"env": {"variables": {"PATH": "", "HOME": "", "TMPDIR": "/nowhere", "ENV": "/nowhere"}}},
        {"env": {"variables": {"LD_PRELOAD": "/nowhere", "BASH_ENV": "/nowhere", "IFS": "a"}}},
        {"env": {"variables": {"PWD": "/nowhere", "SHELLOPTS": "errexit", "PS4": "$(exit)"}}},
        {"env": {"parameter-store": {"A": ""}}},
        {"env": {"secrets-manager": {"A": ":::::::"}}},
        {"env": {"exported-variables": ["a b", "", "-x", "$(exit 9)", "A" * 5000]}},
        {"phases": {"build": {"commands": [long, "a\rb", "\u2028", "'", "\\", "((", "exit 300"]}}},
        {"phases": {"build": {"commands": ["true"], "run-as": long}}},
        {"artifacts": {"files": [long, "[", "**" * 30 + "x", ""], "base-directory": long}},
        {"artifacts": {"files": "*", "name": long, "s3-prefix": long}},
        {"artifacts": {"files": "*", "base-directory": "'\"`$("}},
        {"artifacts": {"files": "*", "base-directory": "a**/b"}},
        {"cache": {"paths": [long, "", "[", "/"], "key": long, "fallback-keys": [long] * 5}},
        {"reports": {long: {"files": long, "file-format": "x"}, "": {"files": "["}}},
    ]
    ids = [_start(bench, artifacts_project, json.dumps({**simple, **more})) for more in extremes]
    _ended(bench, ids)


def test_a_place_of_a_buildspec_that_can_be_none(bench: Any, artifacts_project: str) -> None:
    places = ["x" * 5000, "a\0b", "/etc/passwd", "..", ".", "a/" * 3000, "~", "arn:aws:s3:::", "$(x)",
              "arn:aws:s3:::a", f"arn:aws:s3:::{bench.bucket}/none", "\u2028", "{", "version:"]  # fmt: skip
    ids = [_start(bench, artifacts_project, place) for place in places]
    _ended(bench, ids)


# where it writes

OUTSIDE = st.sampled_from(
    ["..", "../..", "../../*", "../../../**/*", "/", "/etc", "/etc/*", "/etc/hostname", "~", "a/../../..",
     "./../x", "//", "link", "link/*", "up", "up/**/*", "$HOME/..", "$(pwd)/..", "loop/**/*", "*", "**/*"]
)  # fmt: skip


@given(
    files=st.lists(OUTSIDE, min_size=1, max_size=3),
    base=OUTSIDE | st.just("."),
    cached=st.lists(OUTSIDE, max_size=3),
    links=st.booleans(),
)
@settings(BUILT, max_examples=6)
def test_paths_lead_to_nothing_beside_the_build(
    bench: Any, files: list[str], base: str, cached: list[str], links: bool
) -> None:
    """Neither is anything written outside, nor does anything from there come into an artifact."""
    key = f"outside-{uuid4()}.zip"
    project = _project(bench, key)
    spec = {
        "version": 0.2,
        "phases": {
            "build": {
                "commands": [
                    "echo mine > mine.txt",
                    "ln -s /etc/passwd link; ln -s / up; ln -s . loop",
                ]
            }
        },
        "artifacts": {"files": files, "base-directory": base, "enable-symlinks": links},
        "cache": {"paths": cached},
    }
    before = _around(bench)
    builds = [_start(bench, project, json.dumps(spec)) for _ in range(2)]  # with the first's cache
    _ended(bench, builds)
    assert _around(bench) == before
    found = bench.aws.client("s3").list_objects_v2(Bucket=bench.bucket, Prefix=key)
    if found["KeyCount"]:
        # a link is kept as one, or followed within the build's directories
        assert {Path(name).name for name in bench.unzip(key)} <= {"mine.txt", "link", "up", "loop"}
        assert "root:" not in "".join(bench.unzip(key).values())


def test_links_are_followed_within_the_build_alone(bench: Any) -> None:
    """AWS follows all: there, the whole container is the build's; here, the disk is the learner's."""
    key = f"links-{uuid4()}.zip"
    commands = [
        "mkdir out",
        "echo one > one; echo two > $TMPDIR/two; echo three > $HOME/three",
        "cd out; ln -s ../one .; ln -s $TMPDIR/two .; ln -s $HOME/three .; ln -s $CODEBUILD_SRC_DIR/one four",
        "ln -s /etc/passwd out; ln -s /etc etc",
    ]
    spec = {
        "version": 0.2,
        "phases": {"build": {"commands": commands}},
        "artifacts": {"files": "**/*", "base-directory": "$CODEBUILD_SRC_DIR/out"},
    }
    build = bench.wait(_start(bench, _project(bench, key), json.dumps(spec)))
    assert build["buildStatus"] == "SUCCEEDED", "\n".join(bench.log(build))
    assert bench.unzip(key) == {"one": "one\n", "two": "two\n", "three": "three\n", "four": "one\n"}
    assert any("Skipping invalid file path out: " in line for line in bench.log(build))


def _around(bench: Any) -> set[str]:
    """What is where a build could reach to, were it not kept in its directory."""
    state = Path(bench.aws.state_dir)
    places = [state, state.parent, bench.aws.guests_dir, Path("/"), Path("/etc"), Path.home()]
    return {str(path) for place in places for path in place.iterdir()}
