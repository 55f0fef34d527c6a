"""How executions flow: the table in executions.yaml, played through boto3.

Each case has a pipeline of its own in the shared lab; several are played at once.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import tables
from tests.codepipeline.driving import Driven, Ground, make_ground, path_of
from tests.codepipeline.playing import Case, Player
from tests.queues import create_queue
from tests.waiting import DEADLINE_SECONDS

CASES: list[Case] = tables.read(Path(__file__).with_name("executions.yaml"))
AT_ONCE = 6
LOOK_SECONDS = 0.2  # between two looks into the queue, whoever looks
GRACE_SECONDS = 0.2  # for an event that should not come


class Events:
    """What EventBridge delivers of the pipelines whose name says so, through one rule and queue."""

    def __init__(self, aws: Any) -> None:
        self._sqs, events = aws.client("sqs"), aws.client("events")
        name = "driven-events"
        self._url, arn = create_queue(aws, name, "events.amazonaws.com")
        pattern = {"source": ["aws.codepipeline"], "detail": {"pipeline": [{"prefix": "events-"}]}}
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        self._lock, self._looked = threading.Lock(), 0.0
        self._found: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def of(self, pipeline: str, enough: int) -> list[dict[str, Any]]:
        """The events of a pipeline, once there are enough of them."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self._received(pipeline)) < enough and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        time.sleep(GRACE_SECONDS)
        return self._received(pipeline)

    def _received(self, pipeline: str) -> list[dict[str, Any]]:
        with self._lock:
            while time.monotonic() > self._looked + LOOK_SECONDS:
                answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
                messages = answer.get("Messages", [])
                for message in messages:
                    event = json.loads(message["Body"])
                    self._found[event["detail"]["pipeline"]].append(event)
                if not messages:
                    self._looked = time.monotonic()
                    break
                handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]  # fmt: skip
                self._sqs.delete_message_batch(QueueUrl=self._url, Entries=handles)
            return list(self._found[pipeline])


def told(driven: Driven, event: dict[str, Any]) -> tuple[str, str]:
    """An event's level, and what it says: `1 Stage/Action STATE`."""
    detail = event["detail"]
    where = "/".join(detail[key] for key in ("stage", "action") if key in detail)
    label = driven.label(detail["execution-id"])
    return event["detail-type"].split()[1], " ".join(filter(None, [label, where, detail["state"]]))


class Seen:
    """What the read operations say of a played case, in the words of `expect`."""

    def __init__(self, player: Player, events: Events) -> None:
        self.driven, self._events = player.driven, events

    def executions(self, wanted: dict[Any, str]) -> dict[Any, str]:
        now = self.driven.statuses()
        return {label: now[self.driven.labels[str(label)]] for label in wanted}

    def stages(self, wanted: dict[str, str]) -> dict[str, str]:
        return {
            item["stageName"]: self._latest(item.get("latestExecution"))
            for item in self.driven.state()
            if item["stageName"] in wanted
        }

    def shown(self, wanted: dict[str, str]) -> dict[str, str]:
        """The actions' statuses as GetPipelineState has them."""
        return {
            path: action.get("latestExecution", {}).get("status", "")
            for item in self.driven.state()
            for action in item["actionStates"]
            if (path := f"{item['stageName']}/{action['actionName']}") in wanted
        }

    def waiting(self, wanted: dict[str, str]) -> dict[str, str]:
        return {
            item["stageName"]: self._labels(item.get("inboundExecutions", []))
            for item in self.driven.state()
            if item["stageName"] in wanted
        }

    def ran(self, wanted: dict[Any, Any]) -> dict[Any, Any]:
        """Each execution's action executions, oldest first."""
        return {
            label: [
                f"{path_of(run)} {run['status']}"
                for run in reversed(self.driven.actions(self.driven.labels[str(label)]))
            ]
            for label in wanted
        }

    def rules(self, wanted: dict[Any, Any]) -> dict[Any, Any]:
        return {
            label: [
                f"{run['stageName']}/{run['ruleName']} {run['status']}"
                for run in reversed(self.driven.rules(self.driven.labels[str(label)]))
            ]
            for label in wanted
        }

    def errors(self, wanted: dict[str, str]) -> dict[str, str]:
        """`code: message` of the latest run at `label Stage/Action`; part of the message will do."""
        found = {}
        for place, part in wanted.items():
            error = self._run(place)["output"]["executionResult"].get("errorDetails", {})
            text = f"{error.get('code')}: {error.get('message')}"
            code, _, message = part.partition(": ")
            good = text.startswith(f"{code}: ") and message in text
            found[place] = part if good else text
        return found

    def resolved(self, wanted: dict[str, str]) -> dict[str, str]:
        """An approval's CustomData with its variables resolved; $1 stands for an execution's id."""
        found = {}
        for place in wanted:
            text = self._run(place)["input"]["resolvedConfiguration"].get("CustomData", "")
            for label, known in self.driven.labels.items():
                text = text.replace(known, f"${label}")
            for label, commit in self.driven.ground.commits.items():
                text = text.replace(commit, label)
            found[place] = text
        return found

    def artifacts(self, wanted: dict[str, str]) -> dict[str, str]:
        """Of whose making the input artifacts of `label Stage/Action` are: `Name label`."""
        made = {
            artifact["s3location"]["key"]: self.driven.label(run["pipelineExecutionId"])
            for run in self.driven.actions()
            for artifact in run["output"]["outputArtifacts"]
        }
        return {
            place: ", ".join(
                f"{item['name']} {made[item['s3location']['key']]}"
                for item in self._run(place)["input"]["inputArtifacts"]
            )
            for place in wanted
        }

    def conditions(self, wanted: dict[str, str]) -> dict[str, str]:
        """`Stage kind`: the condition's status."""
        states = {item["stageName"]: item for item in self.driven.state()}
        found = {}
        for place in wanted:
            stage, kind = place.split()
            state = states[stage].get(f"{kind}ConditionState", {})
            found[place] = state.get("latestExecution", {}).get("status", "")
        return found

    def retries(self, wanted: dict[str, Any]) -> dict[str, Any]:
        keys = ("autoStageRetryAttempt", "manualStageRetryAttempt", "latestRetryTrigger")
        return {
            item["stageName"]: [item["retryStageMetadata"].get(key) for key in keys]
            if "retryStageMetadata" in item
            else None
            for item in self.driven.state()
            if item["stageName"] in wanted
        }

    def transitions(self, wanted: dict[str, str]) -> dict[str, str]:
        found = {}
        for item in self.driven.state():
            state = item["inboundTransitionState"]
            by = state.get("lastChangedBy", "").rpartition("/")[2]
            words = ["enabled" if state["enabled"] else "disabled", state.get("disabledReason"), by]
            found[item["stageName"]] = " ".join(filter(None, words))
        return {stage: found[stage] for stage in wanted}

    def listed(self, wanted: str) -> str:
        return self._labels(self.driven.executions())

    def succeeded_in(self, wanted: dict[str, str]) -> dict[str, str]:
        return {
            stage: self._labels(
                self.driven.executions(filter={"succeededInStage": {"stageName": stage}})
            )
            for stage in wanted
        }

    def details(self, wanted: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
        return {
            label: {key: self._detail(str(label))[key] for key in keys}
            for label, keys in wanted.items()
        }

    def _detail(self, label: str) -> dict[str, Any]:
        execution = self.driven.labels[label]
        whole = self.driven.api.get_pipeline_execution(
            pipelineName=self.driven.name, pipelineExecutionId=execution
        )["pipelineExecution"]
        row = next(x for x in self.driven.executions() if x["pipelineExecutionId"] == execution)
        for key in ("status", "trigger", "executionMode", "executionType", "rollbackMetadata"):
            assert whole.get(key) == row.get(key), f"{key} is shown in two ways"
        commits = {value: key for key, value in self.driven.ground.commits.items()}
        revisions = [commits[item["revisionId"]] for item in whole["artifactRevisions"]]
        assert revisions == [commits[item["revisionId"]] for item in row["sourceRevisions"]]
        by = whole["trigger"]["triggerDetail"]
        target = row.get("rollbackMetadata", {}).get("rollbackTargetPipelineExecutionId", "")
        return {
            "type": whole["executionType"],
            "mode": whole["executionMode"],
            "version": whole["pipelineVersion"],
            "trigger": whole["trigger"]["triggerType"],
            "by": by.rpartition("/")[2] if "/" in by else self.driven.label(by),
            "target": self.driven.label(target) if target else None,
            "variables": {item["name"]: item["resolvedValue"] for item in whole["variables"]},
            "revision": ",".join(revisions),
            "stopped": row.get("stopTrigger", {}).get("reason"),
        }

    def events(self, wanted: dict[str, list[str]]) -> dict[str, list[str]]:
        """By level (Pipeline, Stage, Action), or all of them; of one execution: `Stage 1`."""
        enough = max(map(len, wanted.values()))
        said = [told(self.driven, event) for event in self._events.of(self.driven.name, enough)]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            found = {key: _chosen(said, key) for key in wanted}
            if found == wanted or time.monotonic() > deadline:
                return found
            said = [told(self.driven, event) for event in self._events.of(self.driven.name, 0)]

    def _run(self, place: str) -> dict[str, Any]:
        label, path = place.split()
        runs = self.driven.actions(self.driven.labels[label])
        return next(run for run in runs if path_of(run) == path)

    def _labels(self, items: list[dict[str, Any]]) -> str:
        return ",".join(self.driven.label(item["pipelineExecutionId"]) for item in items)

    def _latest(self, latest: dict[str, Any] | None) -> str:
        if latest is None:
            return ""
        return f"{latest['status']} {self.driven.label(latest['pipelineExecutionId'])}"


def _chosen(said: list[tuple[str, str]], key: str) -> list[str]:
    wanted, _, label = key.partition(" ")
    return [
        text
        for level, text in said
        if wanted in (level, "all") and (not label or text.startswith(f"{label} "))
    ]


def played(case: Case, number: int, ground: Ground, events: Events) -> dict[str, Any]:
    """Play a case; returns what was seen, by the keys of its `expect`."""
    expect = case.get("expect", {})
    name = f"{'events' if 'events' in expect else 'flow'}-{number}"
    player = Player(case, name, ground)
    try:
        player.play()
        seen = Seen(player, events)
        return {key: getattr(seen, key)(wanted) for key, wanted in expect.items()}
    finally:
        player.driven.close()


class Outcomes:
    """The cases' outcomes; what is asked for first sets all of them going."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._events = ground, Events(ground.aws)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="case")
        self._going: dict[int, Future[dict[str, Any]]] = {}

    def ahead(self, numbers: list[int]) -> None:
        for number in numbers:
            if number not in self._going:
                self._going[number] = self._pool.submit(
                    played, CASES[number], number, self._ground, self._events
                )

    def of(self, number: int) -> dict[str, Any]:
        self.ahead([number])
        return self._going[number].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def outcomes(aws: Any, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    made = Outcomes(make_ground(aws))
    if "PYTEST_XDIST_WORKER" not in os.environ:  # where other processes play the other cases
        chosen = [item.callspec.params["number"] for item in request.session.items if item.parent is request.node]  # type: ignore[attr-defined]  # fmt: skip
        made.ahead(sorted(chosen, key=lambda number: -CASES[number].get("minutes", 0)))
    yield made
    made.close()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["name"] for case in CASES])
def test_flow(outcomes: Outcomes, number: int) -> None:
    assert outcomes.of(number) == CASES[number].get("expect", {})
