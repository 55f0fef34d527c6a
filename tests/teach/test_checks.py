"""A check is red while the AWS does not have the piece, and green when it does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from labkit import Lab, observe
from labkit.provision import (
    PIECES,
    artifacts,
    build,
    pipeline,
    provision,
    roles,
    source,
    tear_down,
)
from labkit.teach import Line, Result, check
from tests.conftest import Aws

pytestmark = [pytest.mark.slow, pytest.mark.guests]

NAMES = [piece.name for piece in PIECES]


@pytest.fixture
def lab(lab_environment: Aws, request: pytest.FixtureRequest) -> Lab:
    """A lab of this test's own, in the AWS that all tests share."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name.lower())
    lab = Lab(name=f"t-{name.removeprefix('test-')[:24].strip('-')}")
    yield lab
    tear_down(lab)


@pytest.mark.parametrize(
    "piece",
    [
        *NAMES,
        "release",
        "control",
        "build_in_depth",
        "build_speed",
        "environments",
        "strategies",
        "hooks",
        "least_privilege",
        "accounts",
        "protection",
        "functions",
        "reach",
        "hosts",
    ],
)
def test_nothing_holds_in_an_empty_aws(lab: Lab, piece: str) -> None:
    result = getattr(check, piece)(lab)
    assert not result.passed
    assert not any(line.ok for line in result.lines), result


@pytest.mark.slow
@pytest.mark.parametrize("piece", NAMES)
def test_each_piece_is_green_when_it_is_there(lab: Lab, piece: str) -> None:
    before = NAMES[: NAMES.index(piece)]
    if before:
        provision(lab, until=before[-1])
        assert not getattr(check, piece)(lab).passed
    provision(lab, until=piece)
    for name in [*before, piece]:
        result = getattr(check, name)(lab)
        assert result.passed, result


@pytest.mark.slow
def test_a_release_is_green_when_every_host_serves_the_newest_commit(lab: Lab) -> None:
    provision(lab)
    observe.wait_for_execution(lab)
    assert check.release(lab).passed, check.release(lab)
    lab.client("events").disable_rule(Name=f"{lab.pipeline}-push")
    source.push(lab, "Not released", source.replace("site.json", "teal", "purple"))
    result = check.release(lab)
    assert [line.ok for line in result.lines] == [True, False, False]
    assert "push-" not in repr(result)
    assert not check.pipeline(lab).passed  # its rule is off


def test_a_source_without_its_files_is_red(lab: Lab) -> None:
    source.create_repository(lab)
    source.push(lab, "Only a text", lambda clone: (clone / "note.txt").write_text("hello"))
    assert [line.ok for line in check.source(lab).lines] == [True, True, True, False, False, False]


def test_a_role_that_is_too_wide_or_trusts_others_is_red(lab: Lab) -> None:
    roles.create_roles(lab)
    assert check.roles(lab).passed
    iam, name = lab.client("iam"), lab.role("codebuild")
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": everything})
    iam.put_role_policy(RoleName=name, PolicyName="more", PolicyDocument=document)
    assert [line.what for line in check.roles(lab).lines if not line.ok] == [
        "no role may do more than its work"
    ]
    iam.delete_role_policy(RoleName=name, PolicyName="more")
    trust = roles.trust_policy(lab, "codebuild.amazonaws.com")
    trust["Statement"][0]["Principal"]["AWS"] = "*"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    assert [line.ok for line in check.roles(lab).lines].count(False) == 1
    roles.create_role(lab, "codebuild")
    iam.delete_role_policy(RoleName=name, PolicyName=roles.POLICY)
    assert not check.roles(lab).passed


@pytest.mark.slow
def test_a_build_that_failed_is_red_until_one_succeeds(lab: Lab) -> None:
    provision(lab, until="build")
    source.push(lab, "A colour", source.replace("site.json", "teal", "tael"))
    observe.wait_for_build(lab, build.start_build(lab))
    result = check.build(lab)
    assert [line.ok for line in result.lines] == [True, True, True, True, False]
    source.push(lab, "Fixed", source.replace("site.json", "tael", "teal"))
    observe.wait_for_build(lab, build.start_build(lab))
    assert check.build(lab).passed


@pytest.mark.slow
def test_builds_in_depth_are_green_one_by_one(lab: Lab) -> None:
    provision(lab, until="build")
    codebuild = lab.client("codebuild")
    to_bucket = {"type": "S3", "location": lab.bucket, "name": "x.zip", "packaging": "ZIP"}
    own = {"type": "NO_SOURCE", "buildspec": "version: 0.2"}
    nowhere = {"type": "NO_ARTIFACTS"}
    codebuild.update_project(name=lab.project, source=own, artifacts=nowhere)

    def run(phase: str, command: str, more: str = "") -> None:
        spec = f"version: 0.2\nphases:\n  {phase}:\n    commands: [{command}]\n{more}"
        started = codebuild.start_build(projectName=lab.project, buildspecOverride=spec)
        observe.wait_for_build(lab, started["build"]["id"])

    def holds() -> list[bool]:
        results = check.build_in_depth(lab), check.build_speed(lab)
        return [one.ok for result in results for one in result.lines]

    for phase in ("biuld", "install", "pre_build", "build", "post_build"):
        run(phase, "false")
    assert holds() == [False, False, False, False, False, False]
    codebuild.update_project(name=lab.project, artifacts=to_bucket)
    run("build", "true")  # it names nothing to upload
    assert holds() == [True, False, False, False, False, False]
    cache = {"type": "S3", "location": f"{lab.bucket}/cache"}
    codebuild.update_project(name=lab.project, cache=cache, artifacts=nowhere)
    assert not holds()[3]
    more = "cache: {paths: [x]}\nreports: {t: {files: [x], file-format: JUNITXML}}\n"
    case = "<testsuite><testcase name='a'>%s</testcase></testsuite>"
    run("build", f'echo "{case % "<failure/>"}" > x', more)
    assert holds() == [True, True, False, True, False, False]
    run("build", f'echo "{case % ""}" > x', more)
    assert holds() == [True, True, True, True, False, False]
    config = {"serviceRole": lab.role_arn("codebuild")}
    codebuild.update_project(name=lab.project, buildBatchConfig=config)
    assert holds() == [True, True, True, True, False, False]


def test_each_event_of_a_pipelines_life_counts_once(lab: Lab) -> None:
    provision(lab, until="artifacts")
    codepipeline = lab.client("codepipeline")
    approve = pipeline.action(("Approval", "Manual"), name="Approve", configuration={})
    declared = pipeline.declaration(lab)
    declared["stages"] = [declared["stages"][0], {"name": "Prod", "actions": [approve]}]

    def holds() -> list[bool]:
        return [one.ok for one in check.environments(lab).lines]

    def control() -> list[bool]:
        return [one.ok for one in check.control(lab).lines]

    def stop(lab: Lab) -> None:
        codepipeline.stop_pipeline_execution(
            pipelineName=lab.pipeline,
            pipelineExecutionId=observe.latest_execution(lab),
            abandon=True,
            reason="The wrong commit",
        )

    def run(answer: Callable[..., object]) -> str:
        execution = pipeline.start(lab)
        observe.wait_for_execution(lab, execution)
        answer(lab)
        observe.wait_for_execution(lab, execution, until=lambda now: now.over)
        return execution

    codepipeline.create_pipeline(pipeline=declared)
    observe.wait_for_execution(lab)
    pipeline.approve(lab)
    assert holds() == [False, False, False, False, False]
    assert control() == [False, False, False, True, False]
    run(pipeline.reject)
    assert holds() == [True, False, False, False, False]
    assert control() == [True, False, False, True, False]
    run(stop)
    assert control() == [True, False, True, True, False]
    good = run(pipeline.approve)
    codepipeline.rollback_stage(
        pipelineName=lab.pipeline, stageName="Prod", targetPipelineExecutionId=good
    )
    assert holds() == [True, False, False, False, False]  # not by itself yet


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda s3, name: s3.delete_public_access_block(Bucket=name), 1),
        (
            lambda s3, name: s3.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Suspended"}
            ),
            3,
        ),
        (lambda s3, name: s3.delete_bucket_lifecycle(Bucket=name), 4),
    ],
    ids=["open", "unversioned", "forever"],
)
def test_each_property_of_the_bucket_counts(lab: Lab, spoil: object, line: int) -> None:
    artifacts.create_bucket(lab)
    spoil(lab.client("s3"), lab.bucket)
    assert [number for number, one in enumerate(check.artifacts(lab).lines) if not one.ok] == [line]


def test_a_result_reads_as_lines_and_as_html() -> None:
    result = Result("source", (Line(True, "a <b>"), Line(False, "c", "do d")))
    assert repr(result) == "✔ a <b>\n✘ c: do d\n1 of 2"
    assert not result.passed
    html = result._repr_html_()
    assert "a &lt;b&gt;" in html and 'aria-label="Missing"' in html and "1 of 2" in html


def test_a_check_that_asked_nothing_has_not_passed() -> None:
    assert not Result("source", ()).passed
