"""What is read back of a history that really happened: good, broken and refused releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit import observe, provision
from labkit.lab import Lab
from labkit.provision import deploy, pipeline, source
from tests.waiting import eventually

pytestmark = pytest.mark.slow  # whole releases


@dataclass(frozen=True)
class History:
    lab: Lab
    first: str
    broken_test: str
    broken_check: str
    refused: str


@pytest.fixture(scope="module")
def history(aws: Any) -> Iterator[History]:
    """One lab in which a first release, two broken ones and a refused one have happened."""
    with pytest.MonkeyPatch.context() as patch:
        aws.set_environment(patch)
        lab = Lab("history")
        provision.provision(lab)
        first = observe.wait_for_execution(lab).execution_id
        broken_test = _release(lab, "A version that is none", _break_test)
        broken_check = _release(lab, "A check that fails", _break_check)
        source.push(lab, "Mended", _mend)
        observe.wait_for_execution(lab, observe.execution_of(lab, source.tip(lab) or ""))
        pipeline.create_pipeline(lab, approval=True)
        refused = pipeline.release(lab, "Refused", source.replace("site.json", "teal", "slate"))
        observe.wait_for_execution(lab, refused)
        pipeline.reject(lab, "not on a Friday")
        observe.wait_for_execution(lab, refused)
        yield History(lab, first, broken_test, broken_check, refused)
        provision.tear_down(lab)


def _release(lab: Lab, message: str, edit: source.Edit) -> str:
    execution = pipeline.release(lab, message, edit)
    observe.wait_for_execution(lab, execution)
    return execution


def _break_test(clone: Path) -> None:
    site = json.loads((clone / "site.json").read_text())
    (clone / "site.json").write_text(json.dumps({**site, "version": "none"}))


def _break_check(clone: Path) -> None:
    _mend(clone)
    script = clone / "scripts" / "validate.sh"
    script.write_text("#!/bin/sh\necho 'the check says no' >&2\nexit 7\n")


def _mend(clone: Path) -> None:
    source.copy_sample_app(clone)


def test_executions_say_what_was_released_and_what_came_of_it(history: History) -> None:
    frame = observe.executions(history.lab)
    assert frame["status"].tolist() == ["Succeeded", "Failed", "Failed", "Succeeded", "Failed"]
    assert frame["message"].tolist()[1:3] == ["A version that is none", "A check that fails"]
    assert frame["trigger"].tolist() == ["CreatePipeline"] + 4 * ["CloudWatchEvent"]
    assert frame["started"].is_monotonic_increasing and (frame["seconds"] > 0).all()


def test_actions_of_one_execution(history: History) -> None:
    frame = observe.actions(history.lab, history.refused)
    assert frame["action"].tolist() == ["Source", "Build", "Approve"]
    assert frame["status"].tolist() == ["Succeeded", "Succeeded", "Failed"]
    assert "not on a Friday" in frame["error"].iloc[-1]
    assert "Approve/Approve Failed" in observe.chart_timeline(frame).alt


def test_a_snapshot_keeps_what_the_pipeline_was_then(history: History) -> None:
    now = observe.snapshot(history.lab, history.broken_test)
    assert now.over and now.status == "Failed"
    assert {stage.name: stage.status for stage in now.stages if stage.name != "Approve"} == {
        "Source": "Succeeded",
        "Build": "Failed",
        "Deploy": None,
    }
    assert now.failure and "npm test" in now.failure
    assert now == observe.snapshot(history.lab, history.broken_test)


def test_builds_and_their_phases(history: History) -> None:
    builds = observe.builds(history.lab)
    assert builds["build"].tolist() == [1, 2, 3, 4, 5]
    assert builds["status"].tolist() == ["SUCCEEDED", "FAILED", *3 * ["SUCCEEDED"]]
    assert builds["initiator"].unique().tolist() == ["codepipeline/history-pipeline"]
    phases = observe.build_phases(history.lab)
    failed = phases[(phases["build"] == 2) & (phases["status"] == "FAILED")]
    assert failed["phase"].tolist() == ["BUILD"]
    assert "npm test" in failed["message"].iloc[0]
    assert "build 2" in observe.chart_build_phases(phases).alt


def test_deployments_show_the_failure_and_its_rollback(history: History) -> None:
    frame = observe.deployment_outcomes(history.lab)
    assert frame["status"].tolist() == ["Succeeded", "Failed", "Succeeded", "Succeeded"]
    failed, rollback = frame.iloc[1], frame.iloc[2]
    assert failed["failed"] == 1 and failed["error"] == "HEALTH_CONSTRAINTS"
    assert rollback["creator"] == "codeDeployRollback"
    assert rollback["rolls_back"] == failed["deployment"]
    # the rollback deploys the first execution's commit again
    assert rollback["commit"] == frame.iloc[0]["commit"] != failed["commit"]
    events = observe.lifecycle_events(history.lab, failed["deployment"])
    broken = events[events["status"] == "Failed"]
    assert broken["event"].tolist() == ["ValidateService"]
    assert "the check says no" in broken["log"].iloc[0]
    assert "a rollback" in observe.chart_deployments(frame).alt


def test_a_rollback_is_waited_for(history: History) -> None:
    outcomes = observe.deployment_outcomes(history.lab)
    failed = outcomes[outcomes["status"] == "Failed"].iloc[0]["deployment"]
    back = observe.wait_for_rollback(history.lab, failed)
    assert (back["status"], back["creator"]) == ("Succeeded", "codeDeployRollback")
    with pytest.raises(LookupError, match="it is Succeeded"):
        observe.wait_for_rollback(history.lab, back["deploymentId"])


def test_costs_are_counted_from_the_history(history: History) -> None:
    used = observe.usage(history.lab)
    runs = observe.actions(history.lab)
    billed = runs[runs["provider"] != "Manual"]
    assert used["codepipeline.action_minute"] == len(billed)  # each took less than a minute
    assert used["codebuild.BUILD_GENERAL1_SMALL"] == 5
    assert used["codedeploy.ec2"] == 4
    assert used["ec2.t3.micro"] >= deploy.INSTANCES * 60 / 3600
    assert set(observe.costs(history.lab)["service"]) == {
        "CodePipeline", "CodeBuild", "CodeDeploy", "EC2", "S3", "CloudWatch Logs",
    }  # fmt: skip


def test_a_wait_that_is_too_long_says_where_it_stands(history: History) -> None:
    lab = history.lab
    held = pipeline.release(lab, "Held", source.replace("site.json", "slate", "green"))
    try:
        assert observe.wait_for_execution(lab, held).awaits_approval
        behind = pipeline.release(lab, "Behind", source.replace("site.json", "green", "purple"))
        eventually(
            lambda: _waits_before(lab, "Approve") == behind, what="the second waits for the first"
        )
        seen = list[str]()
        with pytest.raises(TimeoutError, match="in stage Approve, waits for somebody's approval"):
            observe.wait_for_execution(
                lab, behind, timeout=5, on_change=lambda now: seen.append(now.status)
            )
        assert seen and set(seen) == {"InProgress"}
    finally:
        pipeline.reject(lab)
        observe.wait_for_execution(lab, behind)
        pipeline.reject(lab)
        assert observe.wait_for_execution(lab, behind).over


def _waits_before(lab: Lab, stage: str) -> str | None:
    state = lab.client("codepipeline").get_pipeline_state(name=lab.pipeline)
    [found] = [one for one in state["stageStates"] if one["stageName"] == stage]
    return found.get("inboundExecution", {}).get("pipelineExecutionId")


def test_what_does_not_exist_is_said(history: History) -> None:
    with pytest.raises(TimeoutError, match="No execution has taken up commit 00000000"):
        observe.execution_of(history.lab, 40 * "0", timeout=0.1)
    with pytest.raises(LookupError, match="no build"):
        observe.wait_for_build(history.lab, "history-build:00000000-0000-0000-0000-000000000000")
