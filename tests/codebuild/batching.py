"""What the tests of batch builds share: starting batches, waiting for them, reading their records."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from tests.roles import EVERYTHING, create_role
from tests.waiting import eventually

DONE = ["SUBMITTED", "DOWNLOAD_BATCHSPEC", "IN_PROGRESS", "COMBINE_ARTIFACTS", "SUCCEEDED"]

Fields = dict[str, Any]


class Batches:
    """Starts batches on a bench of their own kind, and looks at them."""

    def __init__(self, bench: Any, role: str) -> None:
        self.bench, self.role, self.codebuild = bench, role, bench.codebuild

    def project(self, buildspec: str, config: Fields | None = None, **settings: Any) -> str:
        source = {"type": "NO_SOURCE", "buildspec": buildspec}
        return self.bench.project(
            **{
                "source": source,
                "buildBatchConfig": {"serviceRole": self.role, **(config or {})},
                **settings,
            }
        )

    def start(self, project: str, **overrides: Any) -> Fields:
        return self.codebuild.start_build_batch(projectName=project, **overrides)["buildBatch"]

    def run(self, project: str, **overrides: Any) -> Fields:
        return self.wait(self.start(project, **overrides)["id"])

    def get(self, batch_id: str) -> Fields:
        return self.codebuild.batch_get_build_batches(ids=[batch_id])["buildBatches"][0]

    def wait(self, batch_id: str, seconds: float = 60) -> Fields:
        """The batch when it is over."""
        return self.until(batch_id, lambda batch: batch["complete"], seconds)

    def until(self, batch_id: str, so: Any, seconds: float = 60) -> Fields:
        return eventually(lambda: self.get(batch_id), seconds, enough=so, what=batch_id)

    def build(self, batch: Fields, identifier: str) -> Fields:
        arn = groups(batch)[identifier]["currentBuildSummary"]["arn"]
        return self.codebuild.batch_get_builds(ids=[arn])["builds"][0]

    def log(self, batch: Fields, identifier: str) -> str:
        return "\n".join(["", *self.bench.log(self.build(batch, identifier)), ""])


def groups(batch: Fields) -> dict[str, Fields]:
    return {group["identifier"]: group for group in batch["buildGroups"]}


def statuses(batch: Fields) -> dict[str, str | None]:
    """The status of each task's build, without the first build."""
    return {
        name: group.get("currentBuildSummary", {}).get("buildStatus")
        for name, group in groups(batch).items()
        if name != "DOWNLOAD_SOURCE"
    }


def phases(batch: Fields) -> list[tuple[str, str | None]]:
    return [(phase["phaseType"], phase.get("phaseStatus")) for phase in batch["phases"]]


def summary(batch: Fields, identifier: str) -> Fields:
    return groups(batch).get(identifier, {}).get("currentBuildSummary", {})


def make_batches(bench: Any) -> Batches:
    """A batch service role that may do what AWS says it must, and no more."""
    actions = ["codebuild:StartBuild", "codebuild:StopBuild", "codebuild:RetryBuild"]
    may = {**EVERYTHING, "Action": actions}
    name = f"batches-{uuid4().hex[:8]}"
    return Batches(bench, create_role(bench.aws, name, "codebuild.amazonaws.com", policy=may))


def spec(batch: str, *commands: str) -> str:
    phase = json.dumps({"build": {"commands": list(commands or ["true"])}})
    return f"version: 0.2\nbatch: {batch}\nphases: {phase}\n"
