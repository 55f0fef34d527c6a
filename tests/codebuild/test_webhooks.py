"""Webhooks: who may deliver, what passes the filters (webhooks.yaml), and what the build knows."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.codebuild.test_sources import Repository

pytestmark = pytest.mark.guests

CASES = tables.read(Path(__file__).with_name("webhooks.yaml"))
USUAL: dict[str, dict[str, Any]] = {
    "push": {"ref": "refs/heads/main", "before": "b" * 40, "after": "a" * 40, "commits": []},
    "pull_request": {"number": 7, "action": "opened"},
    "release": {"action": "released", "release": {"tag_name": "v1", "name": "One"}},
}
PULL_REQUEST = {"head": {"ref": "feature"}, "base": {"ref": "main"}, "merged": False}


def payload(event: str, parts: dict[str, Any]) -> dict[str, Any]:
    common = {"sender": {"id": 4242}, "repository": {"name": "site"}}
    found = {**common, **USUAL.get(event, {}), **parts}
    if event == "pull_request":
        found["pull_request"] = {**PULL_REQUEST, **parts.get("pull_request", {})}
    return found


def deliver(
    webhook: dict[str, Any], event: str, body: bytes, secret: str | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    key = (secret or webhook["secret"]).encode()
    sent = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": str(uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest(),
        **headers,
    }
    request = urllib.request.Request(webhook["payloadUrl"], body, sent)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def groups(case: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [
        [
            {
                "type": name.removeprefix("!"),
                "pattern": value,
                "excludeMatchedPattern": name.startswith("!"),
            }
            for item in group
            for name, value in item.items()
        ]
        for group in case.get("groups", [])
    ]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git") / "site")
    made.commit("one")
    return made


@pytest.fixture
def project(bench: Any, repository: Repository) -> str:
    return bench.project(source={"type": "GITHUB", "location": repository.url})


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_delivery(bench: Any, project: str, case: dict[str, Any]) -> None:
    declared = {"filterGroups": groups(case)} if "groups" in case else {}
    if "branch" in case:
        declared["branchFilter"] = case["branch"]
    if "error" in case:
        with pytest.raises(ClientError) as refused:
            bench.codebuild.create_webhook(projectName=project, **declared)
        assert refused.value.response["Error"]["Code"] == "InvalidInputException"
        assert case["error"] in refused.value.response["Error"]["Message"]
        return
    webhook = bench.codebuild.create_webhook(projectName=project, **declared)["webhook"]
    [(event, parts)] = case["delivery"].items()
    status, answer = deliver(webhook, event, json.dumps(payload(event, parts)).encode())
    assert status == 200, answer
    started = bench.codebuild.list_builds_for_project(projectName=project)["ids"]
    assert started == ([answer["build"]] if case["starts"] else []), answer
    for build_id in started:
        bench.codebuild.stop_build(id=build_id)


def test_the_build_of_a_push(bench: Any, repository: Repository) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [env | grep ^CODEBUILD_WEBHOOK | sort]}}"
    source = {"type": "GITHUB", "location": repository.url, "buildspec": spec}
    project = bench.project(source=source)
    webhook = bench.codebuild.create_webhook(projectName=project)["webhook"]
    head = repository.git("rev-parse", "HEAD")
    body = json.dumps(payload("push", {"after": head})).encode()
    _, answer = deliver(webhook, "push", body)
    build = bench.wait(answer["build"])
    assert build["buildStatus"] == "SUCCEEDED", bench.log(build)
    assert (build["sourceVersion"], build["resolvedSourceVersion"]) == (head, head)
    assert build["initiator"].startswith("GitHub-Hookshot/")
    log = bench.log(build)
    assert "CODEBUILD_WEBHOOK_TRIGGER=branch/main" in log
    assert "CODEBUILD_WEBHOOK_EVENT=PUSH" in log
    assert "CODEBUILD_WEBHOOK_ACTOR_ACCOUNT_ID=4242" in log
    assert f"CODEBUILD_WEBHOOK_PREV_COMMIT={'b' * 40}" in log


def test_only_a_valid_signature_starts_a_build(bench: Any, project: str) -> None:
    webhook = bench.codebuild.create_webhook(projectName=project)["webhook"]
    body = json.dumps(payload("push", {})).encode()
    assert deliver(webhook, "push", body, secret="another")[0] == 403
    assert deliver(webhook, "push", body, **{"X-Hub-Signature-256": ""})[0] == 403
    assert deliver(webhook, "push", body, **{"X-Hub-Signature-256": "sha1=00"})[0] == 403
    assert deliver({**webhook, "payloadUrl": webhook["payloadUrl"] + "x"}, "push", body)[0] == 404
    assert deliver(webhook, "push", b"no json")[0] == 400
    assert deliver(webhook, "push", b"[]")[0] == 400
    assert bench.codebuild.list_builds_for_project(projectName=project)["ids"] == []


def test_a_delivery_that_comes_twice_starts_one_build(bench: Any, project: str) -> None:
    webhook = bench.codebuild.create_webhook(projectName=project)["webhook"]
    body = json.dumps(payload("push", {})).encode()
    same = {"X-GitHub-Delivery": "the-same"}
    answers = [deliver(webhook, "push", body, **same) for _ in range(2)]
    assert answers[0] == answers[1]
    [build] = bench.codebuild.list_builds_for_project(projectName=project)["ids"]
    bench.codebuild.stop_build(id=build)


def test_a_webhook_is_shown_rotated_and_deleted(bench: Any, project: str) -> None:
    codebuild = bench.codebuild
    made = codebuild.create_webhook(projectName=project, branchFilter="main")["webhook"]
    [shown] = codebuild.batch_get_projects(names=[project])["projects"]
    assert shown["webhook"]["payloadUrl"] == made["payloadUrl"]
    assert "secret" not in shown["webhook"]
    with pytest.raises(codebuild.exceptions.ResourceAlreadyExistsException):
        codebuild.create_webhook(projectName=project)
    body = json.dumps(payload("push", {"ref": "refs/heads/dev"})).encode()
    assert "build" not in deliver(made, "push", body)[1]
    group = [{"type": "EVENT", "pattern": "PUSH"}]
    changed = codebuild.update_webhook(projectName=project, filterGroups=[group], rotateSecret=True)
    assert "branchFilter" not in changed["webhook"]
    assert deliver(made, "push", body)[0] == 403
    status, answer = deliver({**made, "secret": changed["webhook"]["secret"]}, "push", body)
    assert status == 200
    codebuild.stop_build(id=answer["build"])
    codebuild.delete_webhook(projectName=project)
    assert deliver(made, "push", body)[0] == 404
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.delete_webhook(projectName=project)


def test_only_a_repository_of_a_provider_has_webhooks(bench: Any) -> None:
    with pytest.raises(ClientError, match="supports webhooks of source types GITHUB"):
        bench.codebuild.create_webhook(projectName=bench.project())
