"""The roles have exactly what their work needs: the journey passes with them, and not without any of it.

`permissions.yaml` has a row for each action of each statement; docs/permissions.md is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import pytest

from labkit import observe
from labkit.lab import Lab
from labkit.provision import roles, source
from tests.conftest import Aws
from tests.provision import permissions_page
from tests.provisioned import provisioned
from tests.waiting import eventually

pytestmark = pytest.mark.slow

Row = dict[str, Any]
TABLE: dict[str, list[Row]] = permissions_page.TABLE
NEEDED = [(who, row) for who, rows in TABLE.items() for row in rows if "refused" in row]
_SECONDS = 60  # within which a denial shows; a machine may have other work


def row_of(who: str, action: str, resources: list[str]) -> Row:
    [row] = [
        row
        for row in TABLE[who]
        if row["action"] == action and any(row.get("of", "") in one for one in resources)
    ]
    return row


def without(lab: Lab, who: str, left_out: Callable[[Row], bool]) -> list[roles.Statement]:
    """The statements of a role, less the actions whose rows are left out."""
    found = []
    for statement in roles.policy(lab, who)["Statement"]:
        resources = statement["Resource"]
        actions = [one for one in statement["Action"] if not left_out(row_of(who, one, resources))]
        found += [{**statement, "Action": actions}] if actions else []
    return found


@contextmanager
def allowed(lab: Lab, who: str, statements: list[roles.Statement]) -> Iterator[None]:
    """The role may do just that meanwhile."""
    iam, name = lab.client("iam"), lab.role(who)
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName=roles.POLICY, PolicyDocument=document)
    else:
        iam.delete_role_policy(RoleName=name, PolicyName=roles.POLICY)
    try:
        yield
    finally:
        roles.create_role(lab, who)


class Trail:
    """The lab's record of calls, from now on."""

    def __init__(self, aws: Aws) -> None:
        self.path = aws.state_dir / "trail.jsonl"
        self.start = self.path.stat().st_size

    def denials(self) -> list[dict[str, Any]]:
        with self.path.open() as file:
            file.seek(self.start)
            records = [json.loads(line) for line in file if line.endswith("\n")]
        return [one for one in records if "is not authorized" in one.get("errorMessage", "")]


@pytest.fixture(scope="module")
def lab(aws: Aws) -> Iterator[Lab]:
    with provisioned(aws, "exact") as lab:
        yield lab


def release(lab: Lab) -> None:
    text = uuid4().hex
    source.push(lab, text, lambda clone: (clone / "note.txt").write_text(text))


def first_report(lab: Lab) -> None:
    codebuild = lab.client("codebuild")
    for arn in codebuild.list_report_groups()["reportGroups"]:
        if f"/{lab.project}-" in arn:
            codebuild.delete_report_group(arn=arn, deleteReports=True)
    release(lab)


def build(lab: Lab) -> None:
    repository = lab.client("codecommit").get_repository(repositoryName=lab.repository)
    url = repository["repositoryMetadata"]["cloneUrlHttp"]
    lab.client("codebuild").start_build(
        projectName=lab.project, sourceTypeOverride="CODECOMMIT", sourceLocationOverride=url,
        artifactsOverride={"type": "NO_ARTIFACTS"},
    )  # fmt: skip


def idle(lab: Lab) -> bool:
    """Whether nothing runs that the next test would take for its own."""
    codepipeline, codebuild = lab.client("codepipeline"), lab.client("codebuild")
    executions = codepipeline.list_pipeline_executions(pipelineName=lab.pipeline)
    ids = codebuild.list_builds_for_project(projectName=lab.project)["ids"]
    builds = codebuild.batch_get_builds(ids=ids[:20])["builds"]
    return all(one["buildComplete"] for one in builds) and all(
        one["status"] != "InProgress" for one in executions["pipelineExecutionSummaries"]
    )


STEPS = {"release": release, "build": build, "first report": first_report}


def test_every_action_of_every_statement_has_its_row(lab: Lab) -> None:
    for who in roles.ROLES:
        policy = roles.policy(lab, who)["Statement"]
        rows = [row_of(who, one, item["Resource"]) for item in policy for one in item["Action"]]
        assert sorted(map(str, rows)) == sorted(map(str, TABLE[who]))


def test_the_page_says_what_the_table_does() -> None:
    assert permissions_page.PATH.read_text(encoding="utf-8") == permissions_page.text(), "make docs"


@pytest.mark.parametrize(
    ("who", "row"), NEEDED, ids=[f"{who} {row['action']}" for who, row in NEEDED]
)
def test_what_is_missed_is_named(lab: Lab, aws: Aws, who: str, row: Row) -> None:
    trail = Trail(aws)

    def denial() -> dict[str, Any] | None:
        mine = f":assumed-role/{lab.role(who)}/"
        sentence = f"not authorized to perform: {row['action']} on resource"
        for one in trail.denials():
            if mine in one["userIdentity"].get("arn", "") and sentence in one["errorMessage"]:
                return one
        return None

    with allowed(lab, who, without(lab, who, lambda one: one == row)):
        STEPS[row.get("step", "release")](lab)
        found = eventually(denial, seconds=_SECONDS, what=f"{row['action']} is not missed")
    eventually(lambda: idle(lab), seconds=_SECONDS, what="the release goes on")
    assert found["eventName"] == row["refused"]


def test_a_release_asks_for_nothing_else(lab: Lab, aws: Aws) -> None:
    """What AWS lists and the lab never asks for may be left out altogether."""
    trail = Trail(aws)
    with ExitStack() as stack:
        for who in roles.ROLES:
            asked = without(lab, who, lambda row: "listed" in row)
            stack.enter_context(allowed(lab, who, asked))
        release(lab)
        execution = observe.execution_of(lab, str(source.tip(lab)))
        ended = observe.wait_for_execution(lab, execution, until=lambda now: now.over)
    assert ended.status == "Succeeded", ended.failure
    assert trail.denials() == []
