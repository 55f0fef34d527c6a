"""Waiting says at once what only a person can change, and what is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit import observe, show
from labkit.lab import Lab, LabError
from labkit.provision import pipeline, provision, tear_down
from tests.conftest import Aws

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(aws: Aws) -> Iterator[Lab]:
    """A pipeline whose stages ask a person, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab("waiting")
        provision(lab, until="artifacts")
        declared = pipeline.declaration(lab)
        ask = pipeline.action(("Approval", "Manual"), name="Ask", configuration={})
        source = declared["stages"][0]
        stages = [source, *({"name": name, "actions": [ask]} for name in ("First", "Second"))]
        lab.client("codepipeline").create_pipeline(pipeline={**declared, "stages": stages})
        yield lab
        tear_down(lab)


def ended(now: observe.Snapshot) -> bool:
    return now.over


def test_an_approval_ends_a_wait_unless_something_else_is_waited_for(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    now = observe.wait_for_execution(lab)
    assert now.awaits_approval
    assert capsys.readouterr().out == ""
    with pytest.raises(TimeoutError, match="Ask in stage First waits for somebody's approval"):
        observe.wait_for_execution(lab, now.execution_id, until=ended, timeout=0.5)
    said = "cannot go on: Ask in stage First waits for somebody's approval."
    assert capsys.readouterr().out.splitlines() == [f"Execution {now.execution_id} {said}"]


def test_who_is_behind_an_approval_waits_for_it_too(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    holds = observe.wait_for_execution(lab)
    behind = pipeline.start(lab)
    with pytest.raises(TimeoutError, match="waits for somebody's approval"):
        observe.wait_for_execution(lab, behind, timeout=2)
    assert (
        f"execution {holds.execution_id}, which is in stage First, waits" in capsys.readouterr().out
    )
    pipeline.reject(lab)
    assert observe.wait_for_execution(lab, behind).awaits_approval
    pipeline.reject(lab)


def test_a_disabled_transition_is_said_with_its_reason(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    way = {"pipelineName": lab.pipeline, "stageName": "Second", "transitionType": "Inbound"}
    codepipeline = lab.client("codepipeline")
    now = observe.wait_for_execution(lab, pipeline.start(lab))
    codepipeline.disable_stage_transition(**way, reason="Demo until noon")
    pipeline.approve(lab)
    with pytest.raises(TimeoutError, match=r"into stage Second is disabled \(Demo until noon\)"):
        observe.wait_for_execution(lab, now.execution_id, timeout=2)
    assert "cannot go on: the transition into stage Second" in capsys.readouterr().out
    assert "is disabled (Demo until noon)" in show.pipeline(lab, now.execution_id)._repr_html_()
    codepipeline.enable_stage_transition(**way)
    assert observe.wait_for_execution(lab, now.execution_id).awaits_approval
    pipeline.reject(lab)


def test_a_pipeline_that_is_brought_up_to_date_is_open_and_nothing_old_runs_in_it(lab: Lab) -> None:
    waits = observe.wait_for_execution(lab, pipeline.start(lab))
    assert waits.awaits_approval
    codepipeline = lab.client("codepipeline")
    codepipeline.disable_stage_transition(
        pipelineName=lab.pipeline, stageName="Second", transitionType="Inbound", reason="left so"
    )
    declared = codepipeline.get_pipeline(name=lab.pipeline)["pipeline"]
    try:
        pipeline.create_pipeline(lab)
        assert observe.wait_for_execution(lab, waits.execution_id, until=ended).status == "Stopped"
        codepipeline.update_pipeline(pipeline=declared)
        states = codepipeline.get_pipeline_state(name=lab.pipeline)["stageStates"]
        assert all(stage["inboundTransitionState"]["enabled"] for stage in states)
    finally:
        codepipeline.update_pipeline(pipeline=declared)


def test_a_lab_that_has_ended_says_what_to_do(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    gone = Lab("gone")
    with pytest.raises(LabError, match=r"has ended.*`labkit lab`"):
        observe.wait_for_build(gone, "gone-build:1")


def test_an_alarm_that_is_not_there_is_said(lab: Lab) -> None:
    with pytest.raises(LookupError, match="CloudWatch has no alarm no-such-alarm"):
        observe.wait_for_alarm(lab, "no-such-alarm")
