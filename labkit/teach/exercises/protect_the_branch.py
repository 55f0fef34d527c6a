"""Exercise: developers work on branches of their own, and nobody of them changes the one that is released.

Page: "Limit pushes and merges to branches in AWS CodeCommit".
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from labkit.lab import Lab
from labkit.provision import roles, source
from labkit.teach.exercises.model import Answer, Check, Exercise, Facts, NotYetError
from labkit.teach.exercises.names import Names
from labkit.teach.exercises.people import person, refusal
from labkit.teach.exercises.pushes import commit, push

WORK = [
    "codecommit:GitPull", "codecommit:GitPush", "codecommit:Get*", "codecommit:PutFile",
    "codecommit:CreateCommit", "codecommit:CreateBranch", "codecommit:DeleteBranch",
    "codecommit:Merge*",
]  # fmt: skip


def begin(facts: Facts) -> dict[str, Any]:
    """What developers may today: everything that their work needs, on every branch."""
    allowed = roles.allow(WORK, Names(facts["name"]).arn("codecommit", facts["name"]))
    return {"policy": {"Version": "2012-10-17", "Statement": [allowed]}}


def prepare(lab: Lab, facts: Facts) -> None:
    """A repository with the branch that is released, and one of a developer's."""
    source.first_commit(lab)
    clone = source.clone(lab)
    commit(clone)
    push(clone, facts["branch"], "work")
    lab.client("codecommit").update_default_branch(
        repositoryName=lab.repository, defaultBranchName="work"
    )


@dataclass(frozen=True)
class Outcome:
    """What a developer with this policy is refused, each with AWS's sentence; "" is nothing."""

    facts: Facts
    pushed: str
    begun: str
    push_refused: str
    delete_refused: str
    operations: dict[str, str]

    def guarded(self, *sentences: str) -> bool:
        """Whether all these were refused.

        Raises:
            NotYetError: who may do nothing at all is refused this as well.
        """
        if self.pushed or self.begun:
            raise NotYetError("first let a developer work on other branches")
        return all(sentences)

    @property
    def open(self) -> str:
        """The operations that would still change the branch."""
        return ", ".join(
            name for name, decision in self.operations.items() if decision == "allowed"
        )


_CHANGES = ("PutFile", "CreateCommit", "MergeBranchesByFastForward", "MergePullRequestBySquash")


def run(lab: Lab, facts: Facts, answer: Answer) -> Outcome:
    """Let a developer with this policy try; the branch is pushed again where it was deleted."""
    developer = person(lab, "developer", answer["policy"])
    branch, clone = facts["branch"], source.clone(lab)
    commit(clone)
    pushed = push(clone, "work", by=developer)
    begun = push(clone, f"idea-{time.time_ns()}", by=developer)
    straight = push(clone, branch, by=developer)
    gone = refusal(
        developer.client("codecommit").delete_branch,
        repositoryName=lab.repository,
        branchName=branch,
    )
    push(clone, branch)
    return Outcome(facts, pushed, begun, straight, gone, _simulated(lab, branch))


def _simulated(lab: Lab, branch: str) -> dict[str, str]:
    """What IAM would decide of the operations that change a branch without a push."""
    reference = {
        "ContextKeyName": "codecommit:References",
        "ContextKeyValues": [f"refs/heads/{branch}"],
        "ContextKeyType": "stringList",
    }
    answer = lab.client("iam").simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{lab.account_id}:user/{lab.name}-developer",
        ActionNames=[f"codecommit:{name}" for name in _CHANGES],
        ResourceArns=[lab.arn("codecommit", lab.repository)],
        ContextEntries=[reference],
    )
    return {
        one["EvalActionName"].partition(":")[2]: one["EvalDecision"]
        for one in answer["EvaluationResults"]
    }


EXERCISE = Exercise(
    title="protect the branch",
    lesson="14_protection",
    level=2,
    given={
        "name": ("shop-13", "ledger-13", "tickets-13", "library-13"),
        "branch": ("main", "trunk", "stable", "live", "production"),
    },
    begin=begin,
    prepare=prepare,
    run=run,
    checks=(
        Check(
            "a developer can push to a branch of their own",
            lambda it: not it.pushed,
            lambda it: f"{it.pushed}: the guard is for {it.facts['branch']} alone",
        ),
        Check("and can begin a new one", lambda it: not it.begun, lambda it: it.begun),
        Check(
            "nobody pushes to {branch}",
            lambda it: it.guarded(it.push_refused),
            "deny codecommit:GitPush where codecommit:References is this branch, by its whole "
            "name: refs/heads/...",
        ),
        Check(
            "nor commits to it or merges into it without a push",
            lambda it: it.guarded() and not it.open,
            lambda it: (
                f"IAM allows {it.open}: each operation that changes a branch is to be denied"
            ),
        ),
        Check(
            "nor deletes it",
            lambda it: it.guarded(it.delete_refused),
            "DeleteBranch changes a branch as well",
        ),
    ),
)
