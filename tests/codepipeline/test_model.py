"""Random pipelines, and everything that can be done to them in random order: AWS's rules hold.

AWS pages: "How pipeline executions work"; "Set or change the pipeline execution mode"; "Configuring
stage retry for a failed stage or failed actions"; "Configuring stage rollback".
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.codepipeline.driving import (
    NAME,
    TERMINAL,
    Driven,
    Ground,
    approval,
    make_ground,
    path_of,
    source,
    work,
)
from tests.waiting import eventually

MODES = ("SUPERSEDED", "QUEUED", "PARALLEL")
STAGES = ("One", "Two", "Three")
MOST_RUNNING = 5
SPARE_THREADS = 6  # of the server that answers the test
Run = dict[str, Any]

picks = st.integers(0, 7)
kinds = st.sampled_from(["work", "approval"])
# the actions of a stage: what each is, and its run order
stages = st.lists(st.tuples(kinds, st.sampled_from([1, 1, 2])), min_size=1, max_size=3)
reactions = st.sampled_from([None, None, "RETRY", "ROLLBACK"])


def declare(
    name: str, role: str, mode: str, shape: list[list[tuple[str, int]]], reaction: str | None
) -> dict[str, Any]:
    """A pipeline; a work action reads what the stage before made, and makes something itself."""
    made: list[dict[str, Any]] = [{"name": "Source", "actions": [source(name)]}]
    known = ["Source"]
    for stage, actions in zip(STAGES, shape, strict=False):
        declared, outputs = [], []
        for number, (kind, order) in enumerate(actions):
            own = f"{stage}{number}"
            if kind == "approval":
                declared.append(approval(own, order))
                continue
            inputs = [{"name": item} for item in known[-3:]]
            artifacts = {"inputArtifacts": inputs, "outputArtifacts": [{"name": own}]}
            declared.append(work(name, own, order, **artifacts))
            outputs.append(own)
        known += outputs
        made.append({"name": stage, "actions": declared})
    if reaction and not (reaction == "ROLLBACK" and mode == "PARALLEL"):
        made[1]["onFailure"] = {"result": reaction}
    return {
        "name": name,
        "roleArn": role,
        "pipelineType": "V2",
        "executionMode": mode,
        "artifactStore": {"type": "S3", "location": NAME},
        "stages": made,
    }


class Flow(RuleBasedStateMachine):
    """One random pipeline, and what its users do."""

    ground: Ground
    numbers: Iterator[int]
    made: Counter[str]  # how often what was done or seen, over all pipelines

    @initialize(mode=st.sampled_from(MODES), shape=st.lists(stages, min_size=1, max_size=3), reaction=reactions)  # fmt: skip
    def create(self, mode: str, shape: list[list[tuple[str, int]]], reaction: str | None) -> None:
        name = f"model-{next(self.numbers)}"
        declared = declare(name, self.ground.role, mode, shape, reaction)
        self.driven = Driven(self.ground, declared)
        self.driven.create()
        self.versions = {1: declared}
        self.answers: dict[str, bool] = {}  # what the test said of each action execution
        self.ended: dict[str, str] = {}
        self.stopped: set[str] = set()
        self.look()

    def look(self) -> None:
        """Read everything, when nothing moves."""
        self.runs: list[Run] = list(reversed(self.driven.quiet()))
        listed = self.driven.executions()
        starts = [item["startTime"] for item in listed]
        assert starts == sorted(starts, reverse=True), "newest first"
        self.executions = {item["pipelineExecutionId"]: item for item in listed}
        self.state = self.driven.state()

    # what users do

    @rule(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        """Start some in a hurry."""
        for _ in range(min(count, MOST_RUNNING - len(self._in("InProgress", "Stopping")))):
            self.driven.start("any")
            self.made["start_pipeline_execution"] += 1
        self.look()

    @rule(pick=picks, goods=st.lists(st.booleans(), min_size=1, max_size=4))
    def answer(self, pick: int, goods: list[bool]) -> None:
        for good in goods:
            self._answer(pick, good)

    @rule()
    def succeed_with_all(self) -> None:
        for _ in range(6):
            self._answer(0, True)

    def _answer(self, pick: int, good: bool) -> None:
        running = [run for run in self.runs if run["status"] == "InProgress"]
        if not running:
            return
        run = running[pick % len(running)]
        self.answers[run["actionExecutionId"]] = good
        if run["input"]["actionTypeId"]["category"] == "Approval":
            self.driven.answer(run, "Approved" if good else "Rejected")
        elif good:
            self.driven.succeed(run)
        else:
            self.driven.fail(run)
        self.made["answer" if good else "failure"] += 1
        self.look()

    @rule(pick=picks, abandon=st.booleans())
    def stop(self, pick: int, abandon: bool) -> None:
        running = self._in("InProgress", "Stopping")
        if running:
            chosen = running[pick % len(running)]
            if self._do("stop_pipeline_execution", pipelineExecutionId=chosen, abandon=abandon):
                self.stopped.add(chosen)

    @precondition(lambda self: self._in("Failed", "Stopped"))
    @rule(pick=picks, mode=st.sampled_from(["FAILED_ACTIONS", "ALL_ACTIONS"]))
    def retry(self, pick: int, mode: str) -> None:
        chosen = self._in("Failed", "Stopped")
        execution = chosen[pick % len(chosen)]
        stage = self._last_stage(execution)
        was = self.ended.pop(execution)
        if not self._do("retry_stage_execution", stageName=stage, pipelineExecutionId=execution, retryMode=mode):  # fmt: skip
            self.ended[execution] = was
        else:
            self.stopped.discard(execution)

    @precondition(lambda self: any(run["status"] == "Failed" for run in self.runs))
    @rule()
    def retry_beside(self) -> None:
        """Failed actions again, while others of their stage may still work."""
        for execution in self._in("InProgress"):
            stage = self._last_stage(execution)
            self._do("retry_stage_execution", stageName=stage, pipelineExecutionId=execution, retryMode="FAILED_ACTIONS")  # fmt: skip

    @precondition(lambda self: self.driven.declaration["executionMode"] != "PARALLEL")
    @rule(stage=st.sampled_from(STAGES), enable=st.booleans())
    def transition(self, stage: str, enable: bool) -> None:
        change = {"stageName": stage, "transitionType": "Inbound"}
        if enable:
            self._do("enable_stage_transition", **change)
        else:
            self._do("disable_stage_transition", **change, reason="random")

    @precondition(lambda self: self._in("Succeeded", "Failed"))
    @rule(stage=st.sampled_from(STAGES), pick=picks)
    def roll_back(self, stage: str, pick: int) -> None:
        targets = self._in("Succeeded", "Failed")
        target = targets[pick % len(targets)]
        self._do("rollback_stage", stageName=stage, targetPipelineExecutionId=target)

    @rule(often=picks, mode=st.sampled_from([*MODES, None, None]))
    def edit(self, often: int, mode: str | None) -> None:
        if often > 2:
            return
        changed = {**self.driven.declaration, "executionMode": mode or self.driven.declaration["executionMode"]}  # fmt: skip
        with contextlib.suppress(ClientError):  # a reaction that the mode does not allow
            answer = self.driven.api.update_pipeline(pipeline=changed)
            self.driven.declaration = changed
            self.versions[answer["pipeline"]["version"]] = changed
            self.made["update_pipeline"] += 1
        self.look()

    # what always holds

    @invariant()
    def executions_end_once(self) -> None:
        now = {execution: item["status"] for execution, item in self.executions.items()}
        for execution, status in self.ended.items():
            assert now[execution] == status, f"{execution} was {status}"
        new = {key: status for key, status in now.items() if key not in self.ended}
        self.made.update(status for status in new.values() if status in TERMINAL)
        self.ended = {key: status for key, status in now.items() if status in TERMINAL}
        for execution, status in now.items():
            mode = self.executions[execution]["executionMode"]
            assert status != "Superseded" or mode == "SUPERSEDED"
            assert status != "Cancelled" or (mode != "PARALLEL" and len(self.versions) > 1)
            assert (status == "Stopped") <= (execution in self.stopped)

    @invariant()
    def a_stage_runs_one_execution(self) -> None:
        for stage, runs in self._by("stageName").items():
            locked = [run for run in runs if self._mode(run) != "PARALLEL"]
            for earlier, later in itertools.combinations(locked, 2):
                if earlier["pipelineExecutionId"] != later["pipelineExecutionId"]:
                    assert earlier["status"] != "InProgress", f"two executions in {stage}"
                    assert earlier["lastUpdateTime"] <= later["startTime"], f"two in {stage}"

    @invariant()
    def nobody_overtakes(self) -> None:
        entered: dict[str, list[str]] = defaultdict(list)
        for run in self.runs:
            execution = run["pipelineExecutionId"]
            standard = self.executions[execution]["executionType"] == "STANDARD"
            if self._mode(run) != "PARALLEL" and standard:
                entered[run["stageName"]].append(execution)
        orders = [list(dict.fromkeys(entered[stage])) for stage in ("Source", *STAGES)]
        for before, after in itertools.pairwise(orders):
            assert after == [execution for execution in before if execution in after]

    @invariant()
    def run_orders_follow_one_another(self) -> None:
        for execution, runs in self._by("pipelineExecutionId").items():
            for run in runs:
                before = runs[: runs.index(run)]
                mine, orders = self._order(run), self._orders(run)
                for name in (name for name, order in orders.items() if order < mine):
                    [*_, latest] = [item for item in before if (item["stageName"], item["actionName"]) == (run["stageName"], name)]  # fmt: skip
                    assert latest["status"] == "Succeeded", f"{path_of(run)} of {execution}"
                    assert latest["lastUpdateTime"] <= run["startTime"]

    @invariant()
    def parallel_executions_run_at_most_five_actions(self) -> None:
        running = Counter(run["pipelineExecutionId"] for run in self.runs if run["status"] == "InProgress")  # fmt: skip
        for execution, count in running.items():
            assert self.executions[execution]["executionMode"] != "PARALLEL" or count <= 5

    @invariant()
    def nothing_succeeds_that_was_not_done(self) -> None:
        for run in self.runs:
            said = self.answers.get(run["actionExecutionId"])
            if run["stageName"] == "Source":
                assert run["status"] != "Succeeded" or run["output"]["outputArtifacts"]
            elif run["status"] in ("Succeeded", "Failed"):
                assert said == (run["status"] == "Succeeded"), path_of(run)
        for execution, item in self.executions.items():
            if item["status"] == "Succeeded":
                self._passed_everything(execution)

    def _passed_everything(self, execution: str) -> None:
        runs = self._by("pipelineExecutionId")[execution]
        latest = {path_of(run): run["status"] for run in runs}
        declared = self.versions[runs[-1]["pipelineVersion"]]["stages"]
        if self.executions[execution]["executionType"] == "ROLLBACK":
            declared = [stage for stage in declared if stage["name"] == runs[-1]["stageName"]]
        wanted = {f"{stage['name']}/{action['name']}" for stage in declared for action in stage["actions"]}  # fmt: skip
        assert latest == dict.fromkeys(wanted, "Succeeded")

    @invariant()
    def artifacts_are_the_execution_s_own(self) -> None:
        outputs: dict[tuple[str, str], str] = {}
        for run in sorted(self.runs, key=lambda run: run["startTime"]):
            execution = run["pipelineExecutionId"]
            metadata = self.executions[execution].get("rollbackMetadata", {})
            whose = metadata.get("rollbackTargetPipelineExecutionId", execution)
            for item in run["input"]["inputArtifacts"]:
                key = item["s3location"]["key"]
                owners = [outputs.get((owner, key)) for owner in (execution, whose)]
                assert item["name"] in owners, f"{path_of(run)} reads {item} of another"
            for item in run["output"]["outputArtifacts"]:
                outputs[execution, item["s3location"]["key"]] = item["name"]

    @invariant()
    def nobody_is_lost(self) -> None:
        """Who runs has an action that runs, or waits before a stage that is held or closed."""
        acting = {run["pipelineExecutionId"] for run in self.runs if run["status"] == "InProgress"}
        waiting: list[str] = []
        for stage in self.state:
            inbound = [item["pipelineExecutionId"] for item in stage.get("inboundExecutions", [])]
            waiting += inbound
            held = stage.get("latestExecution", {}).get("status") in ("InProgress", "Stopping")
            assert not inbound or held or not stage["inboundTransitionState"]["enabled"]
            modes = [self.executions[execution]["executionMode"] for execution in inbound]
            assert modes.count("SUPERSEDED") <= 1
        assert len(waiting) == len(set(waiting))
        assert set(self._in("InProgress", "Stopping")) == acting | set(waiting)
        assert not acting & set(waiting)

    def teardown(self) -> None:
        if not hasattr(self, "runs"):
            return
        self.driven.end_all()
        assert not [run for run in self.driven.actions() if run["status"] == "InProgress"]
        self.driven.close()

    # helpers

    def _do(self, operation: str, **parameters: Any) -> bool:
        """Call an operation; whether AWS took it."""
        if "name" not in parameters:
            parameters["pipelineName"] = self.driven.name
        try:
            getattr(self.driven.api, operation)(**parameters)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
            return False
        self.made[operation] += 1
        self.look()
        return True

    def _in(self, *statuses: str) -> list[str]:
        return [execution for execution, item in self.executions.items() if item["status"] in statuses]  # fmt: skip

    def _by(self, key: str) -> dict[str, list[Run]]:
        found: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs:
            found[run[key]].append(run)
        return found

    def _last_stage(self, execution: str) -> str:
        runs = [run for run in self.runs if run["pipelineExecutionId"] == execution]
        return runs[-1]["stageName"] if runs else "One"

    def _mode(self, run: Run) -> str:
        return self.executions[run["pipelineExecutionId"]]["executionMode"]

    def _orders(self, run: Run) -> dict[str, int]:
        declared = self.versions[run["pipelineVersion"]]["stages"]
        stage = next(stage for stage in declared if stage["name"] == run["stageName"])
        return {action["name"]: action.get("runOrder", 1) for action in stage["actions"]}

    def _order(self, run: Run) -> int:
        return self._orders(run)[run["actionName"]]


@pytest.fixture
def ground(aws: Any) -> Ground:
    return make_ground(aws)


@pytest.mark.slow
def test_whatever_is_done_to_pipelines_the_rules_hold(ground: Ground) -> None:
    server = psutil.Process(ground.aws.description["pid"])
    threads = server.num_threads()
    Flow.ground, Flow.numbers, Flow.made = ground, itertools.count(), Counter()
    steps = settings(
        max_examples=24,
        stateful_step_count=16,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.generate],  # a failing run is told as it is: shrinking it takes minutes
    )
    run_state_machine_as_test(Flow, settings=steps)
    print(f"\n{next(Flow.numbers)} pipelines: {dict(Flow.made)}")
    eventually(
        server.num_threads, enough=lambda now: now <= threads + SPARE_THREADS, what="threads end"
    )
