"""Exercise: a pipeline that deploys what it has built, and a rule that starts it after the pushes that count.

Pages: "CodePipeline pipeline structure reference"; "CodeCommit source actions and EventBridge".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from labkit.lab import Lab
from labkit.observe.snapshot import Snapshot
from labkit.provision import environments, pipeline, source
from labkit.teach.exercises import small_releases as small
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError, taken
from labkit.teach.exercises.names import Names
from labkit.teach.exercises.pushes import push

_BUILDSPEC = f"""version: 0.2
phases:
  build:
    commands: ["mkdir out", "tr a-z A-Z <{small.PAGE} >out/{small.PAGE}"]
artifacts:
  files: ["**/*"]
  base-directory: out
"""


def begin(facts: Facts) -> dict[str, Any]:
    """A pipeline of two stages that deploys the source, and a pattern for every repository."""
    lab = Names(facts["name"])
    fetch = pipeline.action(
        ("Source", "CodeCommit"),
        configuration={"RepositoryName": lab.repository, "BranchName": "draft"},
        makes="SourceOutput",
    )
    place = {"BucketName": environments.sites(lab), "Extract": "true", "ObjectKey": "draft"}
    deploy = pipeline.action(("Deploy", "S3"), configuration=place, takes="SourceOutput")
    return {
        "stages": [{"name": one["name"], "actions": [one]} for one in (fetch, deploy)],
        "pattern": {"source": ["aws.codecommit"]},
    }


def prepare(lab: Lab, facts: Facts) -> None:
    """A repository with a page on two branches, a project that builds it, and a bucket to deploy to."""
    small.prepare(lab, until="build")
    small.clear(lab)
    clone = source.clone(lab)
    _write(clone, {"buildspec.yml": _BUILDSPEC, small.PAGE: small.page("first")})
    source.push(lab, "A page", None, directory=clone)
    push(clone, facts["branch"], "draft")


def _write(clone: Any, files: dict[str, str]) -> None:
    for name, text in files.items():
        (clone / name).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """What came of a push to the branch, after one to another branch."""

    facts: Facts
    execution: Snapshot | None
    polls: bool
    starts: int
    text: str
    released: str

    def action(self, provider: str) -> Any:
        """The action of the execution that an AWS service did; None where there is none.

        Raises:
            NotYetError: no execution was started.
        """
        if self.execution is None:
            raise NotYetError("first let a push start the pipeline")
        return next((one for one in self.execution.actions if one.provider == provider), None)

    def did(self, provider: str) -> bool:
        """Whether it succeeded."""
        action = self.action(provider)
        return bool(action and action.status == "Succeeded")

    def told(self, provider: str, otherwise: str) -> str:
        """What the action says of its failure."""
        action = self.action(provider)
        return str((action and action.error) or otherwise)

    @property
    def right(self) -> bool:
        """Whether what was built is where it should be.

        Raises:
            NotYetError: nothing was deployed.
        """
        if not self.did("S3"):
            raise NotYetError("first let the release come to its end")
        return self.released == self.text.upper()


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Declare what was handed in, push to another branch, and to the right one."""
    small.create(lab, small.declaration(lab, answer["stages"]))
    pipeline.create_trigger(lab)
    with taken("pattern"):
        lab.client("events").put_rule(
            Name=pipeline.rule_name(lab), EventPattern=json.dumps(answer["pattern"])
        )
    clone, text = source.clone(lab), small.page("released")
    before = _executions(lab)
    _pushed(lab, clone, "draft", small.page("draft"))
    commit = _pushed(lab, clone, facts["branch"], text)
    execution = small.started(lab, commit)
    declared = lab.client("codepipeline").get_pipeline(name=lab.pipeline)["pipeline"]
    return Outcome(
        facts,
        execution,
        _polls(declared),
        _executions(lab) - before,
        text,
        small.there(lab, facts["folder"]),
    )


def _pushed(lab: Lab, clone: Any, branch: str, text: str) -> str:
    """Push a page to a branch; returns the commit's id."""
    _write(clone, {small.PAGE: text})
    commit = source.push(lab, f"For {branch}", None, directory=clone)
    push(clone, branch)
    return commit


def _executions(lab: Lab) -> int:
    answer = lab.client("codepipeline").list_pipeline_executions(pipelineName=lab.pipeline)
    return len(answer["pipelineExecutionSummaries"])


def _polls(declared: dict[str, Any]) -> bool:
    actions = [action for stage in declared["stages"] for action in stage["actions"]]
    settings = [one.get("configuration", {}).get("PollForSourceChanges") for one in actions]
    return "false" not in settings


EXERCISE = Exercise(
    title="declare the pipeline",
    lesson="06_pipeline",
    level=2,
    given={
        "name": ("shop-4", "ledger-4", "tickets-4", "library-4"),
        "branch": ("stable", "live", "trunk", "public"),
        "folder": ("www", "site", "pages", "web"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "a push to {branch} starts the pipeline",
            lambda it: it.execution is not None,
            "the pattern has to let it through, and the source action to take that branch",
        ),
        Check(
            "a push to another branch starts nothing",
            lambda it: it.action("CodeCommit") and it.starts == 1,
            lambda it: (
                f"four pushes to three branches have started it {it.starts} times: name repository and branch in the pattern"
            ),
        ),
        Check(
            "CodeCommit is not asked every minute as well",
            lambda it: not it.polls,
            "PollForSourceChanges is on where nothing is said of it",
        ),
        Check(
            "CodeBuild builds it",
            lambda it: it.did("CodeBuild"),
            lambda it: it.told("CodeBuild", "put a stage with CodeBuild behind the source"),
        ),
        Check(
            "it is deployed to a folder of the bucket",
            lambda it: it.did("S3"),
            lambda it: it.told("S3", "put a stage with the S3 action at the end"),
        ),
        Check(
            "in {folder}/ lies what was built, not the source",
            lambda it: it.right,
            "the deployment takes the build's artifact, and the folder is its ObjectKey",
        ),
    ),
)
