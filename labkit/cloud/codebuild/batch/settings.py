"""With which settings the builds of a batch start: the batch's own, and what their task overrides.

AWS pages: "Batch build buildspec reference"; "Samples of CodePipeline/CodeBuild integrations and
batch builds", for the artifacts.
"""

from __future__ import annotations

from labkit.cloud.codebuild.batch.models import Batch
from labkit.cloud.codebuild.batch.spec import Task
from labkit.cloud.codebuild.models import Fields


def of_download(batch: Batch) -> Fields:
    """The settings of the first build, which brings the source alone."""
    return {**batch.settings, "artifacts": {"type": "NO_ARTIFACTS"}, "secondaryArtifacts": []}


def of_task(batch: Batch, task: Task) -> Fields:
    """The settings of one task's build. What the task says wins, also over StartBuildBatch's."""
    settings = batch.settings
    source, environment = dict(settings["source"]), dict(settings["environment"])
    if task.buildspec is not None:
        source["buildspec"] = task.buildspec
    variables = {item["name"]: item for item in environment.get("environmentVariables") or []}
    variables |= {
        name: {"name": name, "value": value, "type": "PLAINTEXT"}
        for name, value in task.variables.items()
    }
    environment |= {**task.environment, "environmentVariables": list(variables.values())}
    return {**settings, "source": source, "environment": environment, **_artifacts(batch, task)}


def _artifacts(batch: Batch, task: Task) -> Fields:
    """Where the build's artifacts go.

    A pipeline names an output `<identifier>` for the primary artifact of a build, and
    `<identifier>_<artifact>` for a secondary one. Artifacts to be combined first lie beside their
    place, each under its task's identifier.
    """
    primary = batch.settings["artifacts"]
    secondary = batch.settings.get("secondaryArtifacts") or []
    if batch.config.get("combineArtifacts") and primary["type"] != "NO_ARTIFACTS":
        return {"artifacts": part_of(batch, task)}
    if not any(item["type"] == "CODEPIPELINE" for item in (primary, *secondary)):
        return {}
    outputs = {
        item["artifactIdentifier"]: item
        for item in (primary, *secondary)
        if item.get("artifactIdentifier")
    }
    prefix = f"{task.identifier}_"
    return {
        "artifacts": outputs.get(task.identifier, {"type": "NO_ARTIFACTS"}),
        "secondaryArtifacts": [
            {**item, "artifactIdentifier": name.removeprefix(prefix)}
            for name, item in outputs.items()
            if name.startswith(prefix)
        ],
    }


def part_of(batch: Batch, task: Task) -> Fields:
    """The place of one build's part of the combined artifact, a ZIP."""
    whole = batch.settings["artifacts"]
    if whole["type"] == "CODEPIPELINE":
        return {**whole, "name": f"{whole['name']}.{task.identifier}"}
    return {
        **whole,
        "path": "/".join(part for part in (whole.get("path"), batch.uuid) if part),
        "name": f"{task.identifier}.zip",
        "namespaceType": "NONE",
        "packaging": "ZIP",
        "overrideArtifactName": False,
    }
