"""Plays a case of executions.yaml: its declaration, its steps, and what is seen afterwards.

A step is a line: a verb, its arguments, `key=value` options, and `-> Code` where AWS refuses it.
Executions go by labels: CreatePipeline starts `1`, a `start` gives its label.
"""

from __future__ import annotations

import shlex
from typing import Any

from botocore.exceptions import ClientError

from tests.codepipeline.driving import NAME, Driven, Ground, approval, path_of, source, work
from tests.waiting import eventually

KINDS = ("beforeEntry", "onSuccess", "onFailure")
Case = dict[str, Any]


def declaration(case: Case, name: str, role: str) -> dict[str, Any]:
    """The pipeline that a case declares: by default Source, One (Ask), Two (Ask)."""
    stages = case.get("stages", {"One": ["Ask"], "Two": ["Ask"]})
    first = {"name": "Source", "actions": [source(name, case.get("source", "CodeCommit"))]}
    if "after_source" in case:
        first |= _conditions(case["after_source"], name)
    made: dict[str, Any] = {
        "name": name,
        "roleArn": role,
        "pipelineType": case.get("type", "V2"),
        "executionMode": case.get("mode", "SUPERSEDED"),
        "artifactStore": {"type": "S3", "location": NAME},
        "stages": [first, *(_stage(key, value, name) for key, value in stages.items())],
    }
    if "variables" in case:
        made["variables"] = [
            {"name": key} if value is None else {"name": key, "defaultValue": value}
            for key, value in case["variables"].items()
        ]
    return made


def _stage(name: str, declared: Any, pipeline: str) -> dict[str, Any]:
    whole = {"actions": declared} if isinstance(declared, list) else declared
    actions = [_action(item, pipeline) for item in whole["actions"]]
    return {"name": name, "actions": actions, **_conditions(whole, pipeline)}


def _action(declared: Any, pipeline: str) -> dict[str, Any]:
    if isinstance(declared, str):
        name, _, order = declared.partition(" ")
        return approval(name, int(order or 1))
    more: dict[str, Any] = {}
    if "namespace" in declared:
        more["namespace"] = declared["namespace"]
    if "work" in declared:
        for key, member in (("in", "inputArtifacts"), ("out", "outputArtifacts")):
            more[member] = [{"name": item} for item in declared.get(key, [])]
        return work(pipeline, declared["work"], declared.get("order", 1), **more)
    if "minutes" in declared:
        more["timeoutInMinutes"] = declared["minutes"]
    if "data" in declared:
        more["configuration"] = {"CustomData": declared["data"]}
    return approval(declared["name"], declared.get("order", 1), **more)


def _conditions(whole: dict[str, Any], pipeline: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in KINDS:
        declared = whole.get(kind)
        if isinstance(declared, str):
            result, _, retry_mode = declared.partition(" ")
            found[kind] = {"result": result}
            if retry_mode:
                found[kind]["retryConfiguration"] = {"retryMode": retry_mode}
        elif declared:
            rules = [_rule(n, rule, pipeline) for n, rule in enumerate(declared["rules"], 1)]
            found[kind] = {"conditions": [{"result": declared["result"], "rules": rules}]}
    return found


def _rule(number: int, declared: str, pipeline: str) -> dict[str, Any]:
    """`check VARIABLE OPERATOR VALUE`, `alarm [WaitTime]` (the case's own), `window CRON`."""
    verb, *rest = shlex.split(declared)
    if verb == "check":
        provider = "VariableCheck"
        configuration = dict(zip(("Variable", "Operator", "Value"), rest, strict=True))
    elif verb == "alarm":
        provider = "CloudWatchAlarm"
        configuration = {"AlarmName": pipeline, **({"WaitTime": rest[0]} if rest else {})}
    else:
        provider, configuration = "DeploymentWindow", {"Cron": " ".join(rest)}
    kind = {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": f"rule{number}", "ruleTypeId": kind, "configuration": configuration}


class Player:
    """Plays the steps of one case, each when nothing moves any more after the one before."""

    def __init__(self, case: Case, name: str, ground: Ground) -> None:
        self.case, self.ground = case, ground
        self.driven = Driven(ground, declaration(case, name, ground.role))
        self.deleted = False

    def play(self) -> None:
        if "alarm" in str(self.case):
            self.alarm(self.case.get("alarm", "OK"))
        self.driven.create()
        for line in self.case.get("steps", []):
            self.step(line)

    def step(self, line: str) -> None:
        """One line; what it is refused with must be what the line says."""
        told, _, code = line.partition(" -> ")
        verb, *words = shlex.split(told)
        given = [word for word in words if "=" not in word]
        options = dict(word.split("=", 1) for word in words if "=" in word)
        refused = None
        try:
            getattr(self, verb)(*given, **options)
        except ClientError as error:
            refused = error.response["Error"]
        assert (refused or {}).get("Code", "") == code, f"{line}: {refused}"
        if not self.deleted:
            self.driven.quiet()

    # verbs

    def start(self, label: str, **given: str) -> None:
        """Options: token=, revision= (old, new, or TYPE:value), and the pipeline's variables."""
        more: dict[str, Any] = {}
        if "token" in given:
            more["clientRequestToken"] = given.pop("token")
        if "revision" in given:
            kind, _, value = given.pop("revision").rpartition(":")
            value = self.ground.commits.get(value, value)
            revision = {"actionName": given.pop("action", "Source"), "revisionValue": value}
            more["sourceRevisions"] = [{**revision, "revisionType": kind or "COMMIT_ID"}]
        if given:
            more["variables"] = [{"name": key, "value": value} for key, value in given.items()]
        self.driven.start(label, **more)

    def starts(self, first: str, last: str) -> None:
        """Start many at once."""
        for label in range(int(first), int(last) + 1):
            self.driven.start(str(label))

    def approve(self, path: str, label: str | None = None, **given: str) -> None:
        self._answer(path, label, "Approved", **given)

    def reject(self, path: str, label: str | None = None, **given: str) -> None:
        self._answer(path, label, "Rejected", **given)

    def _answer(self, path: str, label: str | None, status: str, token: str | None = None) -> None:
        if token == "old":  # the one that the latest answered approval had
            wanted = self.driven.labels.get(label or "1")
            run = [item for item in self.driven.actions(wanted) if path_of(item) == _ask(path)][-1]
            self.driven.answer(run, status)
        elif token:
            stage, action = _ask(path).split("/")
            run = {"stageName": stage, "actionName": action, "output": {"executionResult": {}}}
            self.driven.answer(run, status, token)
        else:
            self.driven.answer(self.driven.running(_ask(path), label), status)

    def succeed(self, path: str, label: str | None = None, **variables: str) -> None:
        self.driven.succeed(self.driven.running(path, label), **variables)

    def fail(self, path: str, label: str | None = None, type: str = "JobFailed") -> None:
        self.driven.fail(self.driven.running(path, label), type)

    def enable(self, stage: str, type: str = "Inbound") -> None:
        change = {"stageName": stage, "transitionType": type}
        self.driven.api.enable_stage_transition(pipelineName=self.driven.name, **change)

    def disable(self, stage: str, reason: str = "freeze", type: str = "Inbound") -> None:
        change = {"stageName": stage, "transitionType": type, "reason": reason}
        self.driven.api.disable_stage_transition(pipelineName=self.driven.name, **change)

    def stop(self, label: str, **more: Any) -> None:
        self.driven.api.stop_pipeline_execution(**self._execution(label), **more)

    def abandon(self, label: str, **more: str) -> None:
        self.stop(label, abandon=True, **more)

    def retry(self, stage: str, label: str, mode: str = "FAILED_ACTIONS") -> None:
        self.driven.api.retry_stage_execution(
            **self._execution(label), stageName=stage, retryMode=mode
        )

    def rollback(self, stage: str, label: str, made: str = "rolled-back") -> None:
        target = self._execution(label)["pipelineExecutionId"]
        answer = self.driven.api.rollback_stage(
            pipelineName=self.driven.name, stageName=stage, targetPipelineExecutionId=target
        )
        self.driven.labels[made] = answer["pipelineExecutionId"]

    def override(self, stage: str, label: str, kind: str) -> None:
        self.driven.api.override_stage_condition(
            **self._execution(label), stageName=stage, conditionType=kind
        )

    def edit(self, drop: str = "", add: str = "", mode: str = "") -> None:
        """UpdatePipeline: the same again, less a stage, with one more, in another mode."""
        changed = dict(self.driven.declaration)
        changed["stages"] = [item for item in changed["stages"] if item["name"] != drop]
        if add:
            changed["stages"] = [*changed["stages"], {"name": add, "actions": [approval()]}]
        if mode:
            changed["executionMode"] = mode
        self.driven.api.update_pipeline(pipeline=changed)
        self.driven.declaration = changed

    def alarm(self, state: str) -> None:
        cloudwatch = self.ground.aws.client("cloudwatch")
        name = self.driven.name
        if not cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
            cloudwatch.put_metric_alarm(AlarmName=name, Namespace="Driven", MetricName="None", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore")  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")

    def newest(self, label: str) -> None:
        """Label the newest execution, which CodePipeline has started itself."""
        self.driven.labels[label] = self.driven.executions()[0]["pipelineExecutionId"]

    def until(self, label: str, status: str) -> None:
        """Wait for what the clock brings."""
        wanted = self.driven.labels[label]
        eventually(
            self.driven.statuses, enough=lambda now: now[wanted] == status, what=f"{label} {status}"
        )

    def delete(self) -> None:
        self.driven.close()
        self.deleted = True

    def waits(self, stage: str, labels: str = "") -> None:
        """Check who waits before a stage, in order."""
        state = next(item for item in self.driven.state() if item["stageName"] == stage)
        inbound = state.get("inboundExecutions", [])
        found = ",".join(self.driven.label(item["pipelineExecutionId"]) for item in inbound)
        assert found == labels, f"before {stage} wait {found}"

    def has(self, label: str, status: str) -> None:
        """Check an execution's status."""
        assert self.driven.statuses()[self.driven.labels[label]] == status

    def inside(self, stage: str, seen: str = "") -> None:
        """Check what a stage shows as its latest execution: `Status label`."""
        assert _latest(self, stage) == seen

    def _execution(self, label: str) -> dict[str, str]:
        known = self.driven.labels.get(label, label)
        return {"pipelineName": self.driven.name, "pipelineExecutionId": known}


def _ask(path: str) -> str:
    return path if "/" in path else f"{path}/Ask"


def _latest(player: Player, stage: str) -> str:
    state = next(item for item in player.driven.state() if item["stageName"] == stage)
    latest = state.get("latestExecution")
    if latest is None:
        return ""
    return f"{latest['status']} {player.driven.label(latest['pipelineExecutionId'])}"
