"""What CreatePipeline takes and refuses: the table in declarations.yaml, through boto3."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.roles import create_role

CASES = tables.read(Path(__file__).with_name("declarations.yaml"))

SOURCE_ACTION = {
    "name": "Source",
    "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "CodeCommit", "version": "1"},
    "configuration": {"RepositoryName": "r", "BranchName": "main", "PollForSourceChanges": "false"},
    "outputArtifacts": [{"name": "Source"}],
}  # fmt: skip
APPROVAL = {
    "name": "Approve",
    "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
}
NAMED: dict[str, Any] = {
    "@source-action": {**SOURCE_ACTION, "name": "Again", "outputArtifacts": [{"name": "Again"}]},
    "@approval": APPROVAL,
    "@source": {"name": "Source", "actions": [SOURCE_ACTION]},
}


@pytest.fixture(scope="session")
def role(aws: Any) -> str:
    NAMED["@other-role"] = create_role(aws, "builds-only", "codebuild.amazonaws.com")
    return create_role(aws, "declares", "codepipeline.amazonaws.com")


def declaration(case: dict[str, Any], role: str) -> dict[str, Any]:
    made = {
        "name": "declared",
        "roleArn": role,
        "artifactStore": {"type": "S3", "location": "bucket"},
        "stages": [NAMED["@source"], {"name": "Approve", "actions": [APPROVAL]}],
    }
    made = copy.deepcopy(made)
    for path in case.get("delete") or []:
        place, last = _place(made, path)
        del place[last]
    for path, value in (case.get("set") or {}).items():
        place, last = _place(made, path)
        place[last] = _named(value)
    for key in ("append", "append_2"):
        for path, value in (case.get(key) or {}).items():
            place, last = _place(made, path)
            place[last].append(_named(value))
    return made


def _place(document: Any, path: str) -> tuple[Any, Any]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        document = document[part]
    return document, last


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    return copy.deepcopy(NAMED.get(value, value)) if isinstance(value, str) else value


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_declaration(aws: Any, role: str, case: dict[str, Any]) -> None:
    codepipeline = aws.unchecked("codepipeline")
    declared = declaration(case, role)
    if "code" not in case:
        made = codepipeline.create_pipeline(pipeline=declared)["pipeline"]
        codepipeline.delete_pipeline(name=made["name"])
        assert made["version"] == 1
        return
    with pytest.raises(ClientError) as refused:
        codepipeline.create_pipeline(pipeline=declared)
    error = refused.value.response["Error"]
    assert error["Code"] == case["code"], error
    assert case["says"] in error["Message"]
    pages = codepipeline.get_paginator("list_pipelines").paginate()
    assert "declared" not in [item["name"] for page in pages for item in page["pipelines"]]
