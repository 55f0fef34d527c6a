"""What a learner leaves half finished, and the sentence that a cell says when what it needs is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from labkit import observe, show
from labkit.lab import Lab
from labkit.missing import NotThere
from labkit.provision import build, deploy, pipeline, provision, source, tear_down
from tests.conftest import Aws

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(aws: Aws) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab("halfway")
        provision(lab, until="deploy")
        yield lab
        tear_down(lab)


@pytest.fixture
def empty(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab that has been torn down, or never begun."""
    aws.set_environment(monkeypatch)
    return Lab("empty")


NO_EXECUTION = "00000000-0000-0000-0000-000000000000"
NEEDS = {
    "the executions": (observe.executions, "pipeline", 6),
    "the last execution": (observe.latest_execution, "pipeline", 6),
    "an execution to wait for": (observe.wait_for_execution, "pipeline", 6),
    "an execution by its id": (lambda lab: observe.snapshot(lab, NO_EXECUTION), "pipeline", 6),
    "a release": (pipeline.start, "pipeline", 6),
    "an approval": (pipeline.approve, "pipeline", 6),
    "a picture": (show.pipeline, "pipeline", 6),
    "the builds": (observe.builds, "build project", 3),
    "a build": (build.start_build, "repository", 1),
    "a deployment": (lambda lab: deploy.create_deployment(lab, "x.zip"), "CodeDeploy app", 5),
}


@pytest.mark.parametrize("what", NEEDS)
def test_what_is_missing_is_said_and_which_lesson_makes_it(what: str, empty: Lab) -> None:
    call, missing, lesson = NEEDS[what]
    with pytest.raises(
        NotThere, match=f"'empty' has no {missing}.*Lesson {lesson} shows how"
    ) as said:
        call(empty)
    assert said.value._render_traceback_() == [f"NotThere: {said.value}"]


def test_an_edit_that_has_been_made_already_says_so(lab: Lab) -> None:
    source.restore(lab)
    edit = source.replace("site.json", "teal", "crimson")
    source.push(lab, "Crimson", edit)
    with pytest.raises(NotThere, match="It has the new text already: this cell has run before"):
        source.push(lab, "Crimson", edit)
    source.restore(lab)
    source.push(lab, "Crimson", edit)


def test_a_file_that_is_gone_is_named(lab: Lab) -> None:
    source.restore(lab)
    source.push(lab, "Gone", lambda clone: (clone / "site.json").unlink())
    with pytest.raises(NotThere, match=r"no .*site\.json, which 'Blue' wants to change"):
        source.push(lab, "Blue", source.replace("site.json", "teal", "blue"))
    source.restore(lab)
    assert (source.clone(lab) / "site.json").exists()


def test_what_somebody_has_added_is_not_in_what_is_restored(lab: Lab) -> None:
    source.push(lab, "Mine", lambda clone: (clone / "test" / "mine.test.js").write_text("throw 1"))
    source.restore(lab)
    assert not (source.clone(lab) / "test" / "mine.test.js").exists()


def test_hosts_that_were_stopped_or_terminated_are_there_again(lab: Lab) -> None:
    ec2 = lab.client("ec2")
    first, second = [one["InstanceId"] for one in deploy.instances(lab)]
    ec2.terminate_instances(InstanceIds=[first])
    ec2.stop_instances(InstanceIds=[second])
    provision(lab, until="deploy")
    found: list[Any] = deploy.instances(lab)
    assert [deploy.tags_of(one)["Name"] for one in found] == ["halfway-1", "halfway-2"]
    assert {one["State"]["Name"] for one in found} == {"running"}
    assert first not in [one["InstanceId"] for one in found]


def test_a_snapshot_has_a_short_form() -> None:
    from tests.show.test_views import FAILED

    assert repr(FAILED) == (
        "<execution e-1 of commit 01234567: Failed (Source Succeeded, Build Failed, Deploy not started); "
        "Build: exit status 1>"
    )


@pytest.mark.slow
@pytest.mark.guests
def test_a_pipeline_left_closed_asking_and_at_work_is_brought_through(lab: Lab) -> None:
    source.restore(lab)
    pipeline.create_pipeline(lab, approval=True)
    pipeline.create_trigger(lab)
    way = {"pipelineName": lab.pipeline, "transitionType": "Inbound", "reason": "left closed"}
    for stage in ("Build", "Deploy"):
        lab.client("codepipeline").disable_stage_transition(**way, stageName=stage)
    source.push(lab, "Left", source.replace("site.json", "teal", "crimson"))
    provision(lab)
    source.restore(lab)
    assert pipeline.catch_up(lab).status == "Succeeded"
    assert {site.colour for site in show.sites(lab)} == {"teal"}
