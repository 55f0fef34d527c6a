"""What CodePipeline remembers: pipelines, their stages, executions, and every action that ran.

AWS page: "How pipeline executions work".
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from labkit.cloud.shared.service import AWSError

TERMINAL = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Artifact:
    """One artifact of one execution, where it lies in the artifact store."""

    name: str
    bucket: str
    key: str

    @property
    def location(self) -> dict[str, Any]:
        """As ListActionExecutions shows it; AWS spells `s3location` so."""
        return {"name": self.name, "s3location": {"bucket": self.bucket, "key": self.key}}


@dataclass
class ActionRun:
    """One run of one action; a retry is a new one."""

    stage: str
    declaration: dict[str, Any]
    status: str = "InProgress"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    updated_by: str | None = None
    configuration: dict[str, str] = field(default_factory=dict)  # variables resolved
    inputs: list[Artifact] = field(default_factory=list)
    outputs: list[Artifact] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    external_id: str | None = None
    external_url: str | None = None
    summary: str | None = None
    error: dict[str, str] | None = None
    token: str | None = None  # of a pending approval
    answered: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, str] | None = None  # of an approval

    @property
    def name(self) -> str:
        return str(self.declaration["name"])

    @property
    def run_order(self) -> int:
        return int(self.declaration.get("runOrder", 1))


@dataclass
class ConditionRun:
    """One evaluation of a stage's condition; its rules run as actions do."""

    kind: str  # beforeEntry, onSuccess or onFailure
    declaration: dict[str, Any]
    status: str = "InProgress"
    summary: str | None = None
    updated: datetime = field(default_factory=now)
    rules: dict[str, ActionRun] = field(default_factory=dict)


@dataclass
class StageRun:
    """One execution's passage through one stage."""

    execution_id: str
    declaration: dict[str, Any]
    type: str = "STANDARD"
    status: str = "InProgress"
    actions: dict[str, ActionRun] = field(default_factory=dict)  # the latest run of each
    conditions: dict[str, ConditionRun] = field(default_factory=dict)  # by kind
    automatic_retries: int = 0
    manual_retries: int = 0
    retried_by: str | None = None  # AutomatedStageRetry or ManualStageRetry, the latest
    retried_at: datetime | None = None

    @property
    def name(self) -> str:
        return str(self.declaration["name"])

    def in_progress(self) -> list[ActionRun]:
        """The actions and rules that run."""
        rules = [rule for item in self.conditions.values() for rule in item.rules.values()]
        return [run for run in (*self.actions.values(), *rules) if run.status == "InProgress"]

    def failed(self) -> bool:
        return any(run.status in ("Failed", "Abandoned") for run in self.actions.values())


@dataclass
class Execution:
    """One pipeline execution, with the declaration it started with."""

    declaration: dict[str, Any]
    trigger: dict[str, str]
    number: int  # later executions have higher ones
    status: str = "InProgress"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    stage_index: int = 0  # the stage it is in, or waits for
    run: StageRun | None = None  # its passage through the stage it is in
    passed: dict[str, StageRun] = field(default_factory=dict)  # its latest passage, by stage
    runs: list[ActionRun] = field(default_factory=list)  # oldest first
    rules: list[ActionRun] = field(default_factory=list)  # of conditions, oldest first
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    revisions: list[dict[str, Any]] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    source_revisions: dict[str, dict[str, str]] = field(default_factory=dict)  # by action name
    rollback_target: str | None = None  # the execution that a ROLLBACK execution goes back to
    stop_reason: str | None = None
    summary: str | None = None  # why it ended, where no action says it
    cancelled: bool = False  # the pipeline changed; it ends when its running actions do
    attempts: int = 1

    @property
    def stages(self) -> list[dict[str, Any]]:
        stages: list[dict[str, Any]] = self.declaration["stages"]
        return stages

    @property
    def mode(self) -> str:
        return str(self.declaration["executionMode"])

    @property
    def type(self) -> str:
        return "ROLLBACK" if self.rollback_target else "STANDARD"

    @property
    def over(self) -> bool:
        return self.status in TERMINAL


@dataclass
class Stage:
    """A stage as the place that executions pass: its lock, who waits before it, its transition."""

    name: str
    holder: str | None = None  # the execution that is in it
    waiting: list[str] = field(default_factory=list)  # the executions before it, oldest first
    latest: StageRun | None = None
    enabled: bool = True
    changed_by: str | None = None
    changed_at: datetime | None = None
    disabled_reason: str | None = None


@dataclass
class Pipeline:
    """A pipeline: its declaration, its stages' places and all its executions."""

    declaration: dict[str, Any]
    region: str
    account_id: str
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    tags: dict[str, str] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)  # oldest first
    running: dict[str, Execution] = field(default_factory=dict)  # those that are not over
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)  # client token -> execution
    stages: list[Stage] = field(default_factory=list)
    # by stage and action: the revision fetched last, and the ids that PutActionRevision told of
    revisions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    announced: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        return str(self.declaration["name"])

    @property
    def arn(self) -> str:
        return f"arn:aws:codepipeline:{self.region}:{self.account_id}:{self.name}"

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            AWSError: StageNotFoundException.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise AWSError(
            "StageNotFoundException", f"Stage '{name}' not found in pipeline '{self.name}'"
        )

    def execution(self, execution_id: str) -> Execution:
        """The execution of that id.

        Raises:
            AWSError: PipelineExecutionNotFoundException.
        """
        if execution_id not in self.executions:
            raise AWSError(
                "PipelineExecutionNotFoundException",
                f"Pipeline execution '{execution_id}' not found in pipeline '{self.name}'",
            )
        return self.executions[execution_id]

    def newest_first(self) -> Iterator[Execution]:
        return reversed(self.executions.values())

    def adopt(self, declaration: dict[str, Any]) -> None:
        """Take a new declaration; a stage that keeps its name keeps its transition and history."""
        known = {stage.name: stage for stage in self.stages}
        names = [stage["name"] for stage in declaration["stages"]]
        self.declaration = declaration
        self.versions[declaration["version"]] = declaration
        self.stages = [known.get(name) or Stage(name) for name in names]
        self.updated = now()


class CodePipelineBackend(BaseBackend):
    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.pipelines: dict[str, Pipeline] = {}

    def get(self, name: str) -> Pipeline:
        """The pipeline of that name.

        Raises:
            AWSError: PipelineNotFoundException.
        """
        if name not in self.pipelines:
            raise AWSError(
                "PipelineNotFoundException",
                f"Account '{self.account_id}' does not have a pipeline with name '{name}'",
            )
        return self.pipelines[name]

    def not_included(self, name: str) -> str:
        """What some operations say instead: the answers to approvals, and those on tags."""
        return (
            f"The account with id '{self.account_id}' does not include a pipeline with the name "
            f"'{name}'"
        )


codepipeline_backends = BackendDict(CodePipelineBackend, "codepipeline")
