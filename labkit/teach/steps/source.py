"""Lesson 1: what is wrong with an answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.lab import Lab
from labkit.provision.source import tip
from labkit.teach.steps import pushes


def repository_made(lab: Lab) -> Iterator[str]:
    codecommit = lab.client("codecommit")
    there = [one["repositoryName"] for one in codecommit.list_repositories()["repositories"]]
    if lab.repository not in there:
        others = f"there is {', '.join(there)}, but " if there else ""
        yield f"{others}AWS has no repository named {lab.repository}. Pass repositoryName=lab.repository"
    arn = codecommit.get_repository(repositoryName=lab.repository)["repositoryMetadata"]["Arn"]
    tags = codecommit.list_tags_for_resource(resourceArn=arn)["tags"]
    if not lab.tags.items() <= tags.items():
        yield "the repository has no tags. Pass tags=lab.tags: tags tell you what you pay for"


def first_push(lab: Lab, clone: Path) -> Iterator[str]:
    branches = lab.client("codecommit").list_branches(repositoryName=lab.repository)["branches"]
    if lab.branch not in branches and branches:
        yield f"you have pushed {branches[0]}, and the pipeline will read {lab.branch}. Push HEAD:main"
    if lab.branch not in branches and not _git(clone, "rev-list", "--max-count=1", "--all"):
        yield "nothing is committed yet: git add --all, then git commit"
    if lab.branch not in branches:
        yield "your commit is on this machine only. git push origin HEAD:main"
    if not _git(clone, "ls-tree", "--name-only", "HEAD"):
        yield "you have pushed a commit without files: git add --all comes before git commit"
    if _git(clone, "status", "--porcelain"):
        yield "some files are not in the commit yet: git add --all, commit and push again"
    if tip(lab) != _git(clone, "rev-parse", "HEAD"):
        yield f"{lab.branch} on AWS is not your last commit: push it"


def who_may_send(lab: Lab, watch: str, statement: dict[str, Any]) -> Iterator[str]:
    if statement.get("Effect") != "Allow":
        yield 'a policy allows only what its statement says: "Effect": "Allow"'
    if statement.get("Principal") in ("*", {"AWS": "*"}):
        yield "everybody on AWS could write to your queue. Name the service as the Principal"
    if statement.get("Principal") != {"Service": "events.amazonaws.com"}:
        yield "EventBridge writes to the queue, not the service that sent the event: events.amazonaws.com"
    if statement.get("Action") not in ("sqs:SendMessage", ["sqs:SendMessage"]):
        yield "EventBridge sends messages, and does nothing else with a queue: sqs:SendMessage"
    arn = lab.arn("sqs", watch)
    if statement.get("Resource") not in (arn, [arn]):
        yield f"the statement is about something other than this queue, which is {arn}"


def pattern_of_pushes(lab: Lab, pattern: dict[str, Any]) -> Iterator[str]:
    return pushes.unlike(lab, pattern, made=False)


def heard_of_the_branch(said: list[dict[str, Any]]) -> str:
    return "one event" if any("evening" in one["Body"] for one in said) else "nothing"


def second_push(said: list[str]) -> str:
    return "rejected" if any(line.startswith(" ! [rejected]") for line in said) else "merged"


def both_on_main(lab: Lab, clone: Path, colleague: Path) -> Iterator[str]:
    now, theirs = tip(lab) or "", _git(colleague, "rev-parse", "HEAD")
    if now == theirs:
        yield "main still has your colleague's commit at its tip: push yours, on top of it"
    if now == _git(clone, "rev-parse", "HEAD") and theirs not in _git(clone, "rev-list", now):
        yield "your colleague's commit is gone from main. Fetch theirs, put yours on top, and never force"
    if now != _git(clone, "rev-parse", "HEAD"):
        yield "main on AWS is not your last commit: push it"


def _git(directory: Path, *arguments: str) -> str:
    """What git prints; nothing where it fails."""
    done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True)
    return done.stdout.strip()
