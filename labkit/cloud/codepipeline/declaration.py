"""The rules a pipeline declaration has to keep, checked on create and on update.

`action_rules` has those of one action, `v2_rules` those of what only V2 pipelines declare.

AWS pages: "CodePipeline pipeline structure reference"; "Quotas in AWS CodePipeline".
"""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

import boto3

from labkit.cloud.codepipeline import v2_rules
from labkit.cloud.codepipeline.action_rules import check_action
from labkit.cloud.codepipeline.registry import Registry
from labkit.cloud.shared.service import AWSError

Declaration = dict[str, Any]
MAX_STAGES = 50
MAX_ACTIONS_IN_STAGE = 50
MAX_ACTIONS = 1000


def check(declaration: Declaration, registry: Registry) -> None:
    """Refuse a declaration that breaks one of AWS's rules.

    Raises:
        AWSError: InvalidStructureException, InvalidStageDeclarationException,
            InvalidActionDeclarationException or InvalidBlockerDeclarationException, with what is
            wrong and where.
    """
    pipeline_type = declaration.get("pipelineType", "V1")
    stages = declaration["stages"]
    v2_rules.check_type(declaration)
    _check_stages(stages)
    mode = declaration.get("executionMode", "SUPERSEDED")
    for index, stage in enumerate(stages):
        _check_stage(stage, first=index == 0)
        for action in stage["actions"]:
            check_action(action, pipeline_type, registry)
        v2_rules.check_conditions(stage, first=index == 0, mode=mode)
    _check_artifacts(stages)
    _check_namespaces(stages)
    v2_rules.check_variables(declaration)
    v2_rules.check_triggers(declaration)
    _check_stores(declaration, registry.region_name)


def _check_stages(stages: list[Declaration]) -> None:
    if len(stages) < 2:
        _structure(
            f"Pipeline has only {len(stages)} stage(s). There should be a minimum of 2 stages in a pipeline"
        )
    if len(stages) > MAX_STAGES:
        _structure(f"Pipeline has {len(stages)} stages. The maximum is {MAX_STAGES}")
    count = sum(len(stage["actions"]) for stage in stages)
    if count > MAX_ACTIONS:
        _structure(f"Pipeline has {count} actions. The maximum is {MAX_ACTIONS}")
    _check_unique("stage", [stage["name"] for stage in stages], "the pipeline")


def _check_stage(stage: Declaration, *, first: bool) -> None:
    name, actions = stage["name"], stage["actions"]
    if stage.get("blockers"):
        raise AWSError(
            "InvalidBlockerDeclarationException",
            f"Stage '{name}' declares blockers, which are reserved for future use",
        )
    if not actions:
        raise AWSError(
            "InvalidStageDeclarationException", f"Stage '{name}' must have at least one action"
        )
    if len(actions) > MAX_ACTIONS_IN_STAGE:
        raise AWSError(
            "InvalidStageDeclarationException",
            f"Stage '{name}' has {len(actions)} actions. The maximum is {MAX_ACTIONS_IN_STAGE}",
        )
    _check_unique("action", [action["name"] for action in actions], f"stage '{name}'")
    for action in actions:
        is_source = action["actionTypeId"]["category"] == "Source"
        if first and not is_source:
            _structure(
                f"Pipeline stage '{name}' is the first stage and can only contain source actions; action '{action['name']}' is not one"
            )
        if not first and is_source:
            _structure(
                f"Pipeline stage '{name}' contains source action '{action['name']}'; only the first stage may contain source actions"
            )


def _check_artifacts(stages: list[Declaration]) -> None:
    """An artifact is made once, and earlier than it is taken."""
    made: dict[str, tuple[int, int]] = {}
    for index, stage in enumerate(stages):
        for action in stage["actions"]:
            for artifact in action.get("outputArtifacts") or []:
                if artifact["name"] in made:
                    _structure(
                        f"Output Artifact Bundle name must be unique within the pipeline. CreatedArtifact '{artifact['name']}' has been used more than once"
                    )
                made[artifact["name"]] = (index, action.get("runOrder", 1))
    for index, stage in enumerate(stages):
        for action in stage["actions"]:
            for artifact in action.get("inputArtifacts") or []:
                place = made.get(artifact["name"])
                if place is None or place >= (index, action.get("runOrder", 1)):
                    _structure(
                        f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as Output Artifact Bundle in any of the preceding actions"
                    )
        _check_rule_artifacts(stage, index, made)


def _check_rule_artifacts(stage: Declaration, index: int, made: dict[str, tuple[int, int]]) -> None:
    """Before entry, what earlier stages made; afterwards, what this stage made too."""
    for kind in v2_rules.KINDS:
        last = index if kind == "beforeEntry" else index + 1
        for condition in (stage.get(kind) or {}).get("conditions") or []:
            for rule in condition.get("rules") or []:
                for artifact in rule.get("inputArtifacts") or []:
                    place = made.get(artifact["name"])
                    if place is None or place[0] >= last:
                        _structure(
                            f"Input Artifact Bundle {artifact['name']} in rule {rule['name']} is not declared as Output Artifact Bundle in any of the preceding actions"
                        )


def _check_namespaces(stages: list[Declaration]) -> None:
    """AWS page: "Variables"."""
    actions = [action for stage in stages for action in stage["actions"]]
    names = [action["namespace"] for action in actions if action.get("namespace")]
    artifacts = {
        artifact["name"] for action in actions for artifact in action.get("outputArtifacts") or []
    }
    _check_unique("namespace", names, "the pipeline")
    for name in names:
        if name in ("codepipeline", "variables"):
            _structure(f"Namespace '{name}' is reserved")
        if name in artifacts:
            _structure(f"Namespace '{name}' is the name of an artifact too; they must differ")


def _check_stores(declaration: Declaration, region: str) -> None:
    """Exactly one of artifactStore and artifactStores; a store in every Region that has actions.

    AWS page: "Add a cross-Region action in CodePipeline".
    """
    one, several = declaration.get("artifactStore"), declaration.get("artifactStores")
    if bool(one) == bool(several):
        _structure("Pipeline must define either artifactStore or artifactStores, and not both")
    for name in several or {}:
        if name not in _regions():
            raise AWSError(
                "ValidationException",
                f"The region {name} specified in 'pipeline.artifactStores' is not a valid AWS Region.",
            )
    if several and region not in several:
        _structure(f"artifactStores has no artifact store for the pipeline's own Region {region}")
    for stage in declaration["stages"]:
        for action in stage["actions"]:
            _check_region(action, region, several or {})


def _check_region(action: Declaration, region: str, stores: Declaration) -> None:
    where, name, kind = action.get("region") or region, action["name"], action["actionTypeId"]
    if where == region:
        return
    if where not in _regions():
        raise AWSError(
            "ValidationException",
            f"The region {where} specified in action '{name}' is not a valid AWS Region.",
        )
    if kind["category"] == "Source" or kind["owner"] != "AWS":
        _structure(
            f"Action '{name}' cannot be in another Region: source, third-party and custom actions cannot be cross-Region actions"
        )
    if where not in stores:
        _structure(
            f"Action '{name}' is in Region {where}, for which artifactStores has no artifact store"
        )


@cache
def _regions() -> frozenset[str]:
    return frozenset(boto3.session.Session().get_available_regions("codepipeline"))


def _check_unique(what: str, names: list[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            _structure(f"Duplicate {what} name '{name}' in {where}; {what} names must be unique")


def _structure(message: str) -> NoReturn:
    raise AWSError("InvalidStructureException", message)
