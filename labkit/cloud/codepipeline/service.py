"""CodePipeline's API: declare pipelines, start, stop, retry and approve, read back.

AWS page: "AWS CodePipeline API Reference".
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from labkit.cloud import clients
from labkit.cloud.codepipeline import declaration as rules
from labkit.cloud.codepipeline import execution as machine
from labkit.cloud.codepipeline import state
from labkit.cloud.codepipeline.actions import CODEPIPELINE
from labkit.cloud.codepipeline.models import (
    ActionRun,
    CodePipelineBackend,
    Pipeline,
    Stage,
    codepipeline_backends,
    now,
)
from labkit.cloud.service import AWSError, Service, page

Answer = dict[str, Any]


class CodePipeline(Service):
    boto3_name = "codepipeline"

    @property
    def backend(self) -> CodePipelineBackend:
        return codepipeline_backends[self.current_account][self.region]

    # declarations

    def create_pipeline(self, pipeline: Answer, tags: list[Answer] | None = None) -> Answer:
        if pipeline["name"] in self.backend.pipelines:
            raise AWSError(
                "PipelineNameInUseException",
                f"A pipeline with the name '{pipeline['name']}' already exists in account '{self.current_account}'",
            )
        declared = self._checked(pipeline, version=1)
        made = Pipeline(declared, self.region, self.current_account, tags=_tags(tags))
        made.adopt(declared)
        self.backend.pipelines[made.name] = made
        machine.start(made, self._trigger("CreatePipeline"))
        return {"pipeline": declared, "tags": tags or []}

    def update_pipeline(self, pipeline: Answer) -> Answer:
        known = self.backend.get(pipeline["name"])
        with known.lock:
            declared = self._checked(pipeline, version=known.declaration["version"] + 1)
            machine.cancel(known)
            known.adopt(declared)
        return {"pipeline": declared}

    def get_pipeline(self, name: str, version: int | None = None) -> Answer:
        pipeline = self.backend.get(name)
        declared = pipeline.versions.get(version or pipeline.declaration["version"])
        if declared is None:
            raise AWSError(
                "PipelineVersionNotFoundException",
                f"Pipeline '{name}' does not have a version {version}",
            )
        metadata = {
            "pipelineArn": pipeline.arn,
            "created": pipeline.created,
            "updated": pipeline.updated,
        }
        return {"pipeline": declared, "metadata": metadata}

    def list_pipelines(self, nextToken: str | None = None, maxResults: int | None = None) -> Answer:
        found = sorted(self.backend.pipelines.values(), key=lambda pipeline: pipeline.name)
        items, token = page(found, nextToken, maxResults, 1000)
        return {"pipelines": [_summary(item) for item in items], "nextToken": token}

    def delete_pipeline(self, name: str) -> Answer:
        pipeline = self.backend.pipelines.pop(name, None)
        if pipeline is not None:
            with pipeline.lock:
                for execution in list(pipeline.executions.values()):
                    if not execution.over:
                        machine.stop(pipeline, execution, "The pipeline was deleted", abandon=True)
        return {}

    def list_action_types(
        self,
        actionOwnerFilter: str | None = None,
        nextToken: str | None = None,
        regionFilter: str | None = None,
    ) -> Answer:
        rows = rules.catalogue() if actionOwnerFilter in (None, "AWS") else []
        items, token = page(rows, nextToken, None)
        return {"actionTypes": [_action_type(row) for row in items], "nextToken": token}

    # executions

    def start_pipeline_execution(
        self,
        name: str,
        variables: list[Answer] | None = None,
        clientRequestToken: str | None = None,
        sourceRevisions: list[Answer] | None = None,
    ) -> Answer:
        pipeline = self.backend.get(name)
        revisions = {item["actionName"]: item for item in sourceRevisions or []}
        for item in revisions.values():
            if item["revisionType"] != "COMMIT_ID":
                raise AWSError(
                    "ValidationException",
                    f"Source action '{item['actionName']}' does not take revisions of type {item['revisionType']}",
                )
        with pipeline.lock:
            if clientRequestToken in pipeline.requests:
                return {"pipelineExecutionId": pipeline.requests[clientRequestToken]}
            execution = machine.start(
                pipeline,
                self._trigger("StartPipelineExecution"),
                {item["name"]: item["value"] for item in variables or []},
                {action: item["revisionValue"] for action, item in revisions.items()},
            )
            if clientRequestToken:
                pipeline.requests[clientRequestToken] = execution.id
        return {"pipelineExecutionId": execution.id}

    def stop_pipeline_execution(
        self,
        pipelineName: str,
        pipelineExecutionId: str,
        abandon: bool = False,
        reason: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        execution = pipeline.execution(pipelineExecutionId)
        machine.stop(pipeline, execution, reason, abandon=abandon)
        return {"pipelineExecutionId": pipelineExecutionId}

    def retry_stage_execution(
        self, pipelineName: str, stageName: str, pipelineExecutionId: str, retryMode: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        stage, execution = pipeline.stage(stageName), pipeline.execution(pipelineExecutionId)
        machine.retry(pipeline, stage, execution, retryMode)
        return {"pipelineExecutionId": pipelineExecutionId}

    def put_approval_result(
        self, pipelineName: str, stageName: str, actionName: str, result: Answer, token: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            run = _approval(pipeline.stage(stageName), actionName)
            if run.answer is not None:
                raise AWSError(
                    "ApprovalAlreadyCompletedException",
                    f"The approval action '{actionName}' has already been answered",
                )
            if run.token != token:
                raise AWSError("InvalidApprovalTokenException", "The approval token is not valid")
            machine.answer_approval(pipeline, run, result, self.principal.arn)
        return {"approvedAt": run.updated}

    def enable_stage_transition(
        self, pipelineName: str, stageName: str, transitionType: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            stage = self._transition(pipeline, stageName, transitionType, enabled=True)
            machine.admit_waiting(pipeline, stage)
        return {}

    def disable_stage_transition(
        self, pipelineName: str, stageName: str, transitionType: str, reason: str
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            stage = self._transition(pipeline, stageName, transitionType, enabled=False)
            stage.disabled_reason = reason
        return {}

    # reading back

    def get_pipeline_state(self, name: str) -> Answer:
        pipeline = self.backend.get(name)
        with pipeline.lock:
            return state.pipeline_state(pipeline)

    def get_pipeline_execution(self, pipelineName: str, pipelineExecutionId: str) -> Answer:
        pipeline = self.backend.get(pipelineName)
        with pipeline.lock:
            execution = pipeline.execution(pipelineExecutionId)
            return {"pipelineExecution": state.execution_detail(pipeline, execution)}

    def list_pipeline_executions(
        self,
        pipelineName: str,
        maxResults: int | None = None,
        filter: Answer | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        wanted = ((filter or {}).get("succeededInStage") or {}).get("stageName")
        with pipeline.lock:
            found = [
                execution
                for execution in pipeline.newest_first()
                if wanted is None or _succeeded_in(pipeline, execution, wanted)
            ]
            items, token = page(found, nextToken, maxResults, 100)
            summaries = [state.execution_summary(item) for item in items]
        return {"pipelineExecutionSummaries": summaries, "nextToken": token}

    def list_action_executions(
        self,
        pipelineName: str,
        filter: Answer | None = None,
        maxResults: int | None = None,
        nextToken: str | None = None,
    ) -> Answer:
        pipeline = self.backend.get(pipelineName)
        wanted = filter or {}
        wanted_id = wanted.get("pipelineExecutionId") or (
            wanted.get("latestInPipelineExecution") or {}
        ).get("pipelineExecutionId")
        with pipeline.lock:
            if wanted_id:
                pipeline.execution(wanted_id)
            runs = [
                (execution, run)
                for execution in pipeline.executions.values()
                if wanted_id in (None, execution.id)
                for run in execution.runs
            ]
            runs.sort(key=lambda pair: pair[1].started, reverse=True)
            items, token = page(runs, nextToken, maxResults, 100)
            details = [state.action_detail(pipeline, *item) for item in items]
        return {"actionExecutionDetails": details, "nextToken": token}

    # tags

    def tag_resource(self, resourceArn: str, tags: list[Answer]) -> Answer:
        self._tagged(resourceArn).tags.update(_tags(tags))
        return {}

    def untag_resource(self, resourceArn: str, tagKeys: list[str]) -> Answer:
        for key in tagKeys:
            self._tagged(resourceArn).tags.pop(key, None)
        return {}

    def list_tags_for_resource(
        self, resourceArn: str, nextToken: str | None = None, maxResults: int | None = None
    ) -> Answer:
        tags = self._tagged(resourceArn).tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    # within

    def _checked(self, declared: Answer, version: int) -> Answer:
        rules.check(declared)
        arn = self.arn(declared["name"])
        try:
            clients.assume_role(
                CODEPIPELINE, declared["roleArn"], "codepipeline", self.region, source_arn=arn
            )
        except ClientError as error:
            raise AWSError(
                "InvalidStructureException",
                f"CodePipeline is not authorized to perform AssumeRole on role {declared['roleArn']}",
            ) from error
        defaults = {"executionMode": "SUPERSEDED", "pipelineType": "V1"}
        return {**defaults, **declared, "version": version}

    def _trigger(self, kind: str) -> dict[str, str]:
        if self.principal.invoked_by == "events.amazonaws.com":
            rule = self.principal.source_arn or ""
            return {"triggerType": "CloudWatchEvent", "triggerDetail": rule}
        return {"triggerType": kind, "triggerDetail": self.principal.arn}

    def _transition(
        self, pipeline: Pipeline, stage_name: str, transition_type: str, *, enabled: bool
    ) -> Stage:
        if transition_type != "Inbound":
            raise AWSError(
                "ValidationException",
                "The lab's local AWS supports transitionType Inbound only (nothing was done)",
            )
        stage = pipeline.stage(stage_name)
        stage.enabled, stage.changed_by, stage.changed_at = enabled, self.principal.arn, now()
        return stage

    def _tagged(self, arn: str) -> Pipeline:
        name = arn.rpartition(":")[2]
        if name not in self.backend.pipelines:
            raise AWSError("ResourceNotFoundException", f"{arn} was not found")
        return self.backend.pipelines[name]


def _approval(stage: Stage, action_name: str) -> ActionRun:
    run = stage.latest.actions.get(action_name) if stage.latest else None
    if run is None or run.declaration["actionTypeId"]["category"] != "Approval":
        raise AWSError("ActionNotFoundException", f"No approval action '{action_name}' is waiting")
    return run


def _succeeded_in(pipeline: Pipeline, execution: Any, stage_name: str) -> bool:
    names = [stage["name"] for stage in execution.stages]
    pipeline.stage(stage_name)
    if stage_name not in names:
        return False
    return execution.status == "Succeeded" or names.index(stage_name) < execution.stage_index


def _summary(pipeline: Pipeline) -> Answer:
    declared = pipeline.declaration
    return {
        "name": pipeline.name,
        "version": declared["version"],
        "pipelineType": declared["pipelineType"],
        "executionMode": declared["executionMode"],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }


def _action_type(row: Answer) -> Answer:
    keys = [*((key, True) for key in row["required"]), *((key, False) for key in row["optional"])]
    return {
        "id": {
            "category": row["category"],
            "owner": "AWS",
            "provider": row["provider"],
            "version": "1",
        },
        "actionConfigurationProperties": [
            {"name": key, "required": required, "key": False, "secret": False}
            for key, required in keys
        ],
        "inputArtifactDetails": dict(
            zip(("minimumCount", "maximumCount"), row["inputs"], strict=True)
        ),
        "outputArtifactDetails": dict(
            zip(("minimumCount", "maximumCount"), row["outputs"], strict=True)
        ),
    }


def _tags(tags: list[Answer] | None) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tags or []}
