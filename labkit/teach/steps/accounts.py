"""Lesson 13: what is wrong with an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from labkit import observe
from labkit.lab import Lab
from labkit.observe import Snapshot


def first_wall(production: Lab, now: Snapshot) -> str:
    [action] = now.stages[-1].actions
    if not action.external_id:
        return "the release role"
    events = observe.lifecycle_events(production, action.external_id)
    message = events[events["status"] == "Failed"].iloc[0]["message"]
    if "no resource-based policy" not in message:
        return "the host's role"
    return "the key's policy" if "kms:Decrypt" in message else "the bucket's policy"


def bucket_shared(lab: Lab, ids: dict[str, str]) -> Iterator[str]:
    policy = lab.client("s3").get_bucket_policy(Bucket=lab.bucket)["Policy"]
    if ids["production"] not in policy:
        yield "the bucket's policy still names nobody in production: share_bucket, with production's account"
    yield from _nobody_else(policy)


def key_shared(lab: Lab, key: str, ids: dict[str, str]) -> Iterator[str]:
    policy = lab.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    if ids["production"] not in policy:
        yield "the key's policy still names nobody in production: share_key, with production's account"
    yield from _nobody_else(policy)


def _nobody_else(policy: str) -> Iterator[str]:
    for statement in json.loads(policy)["Statement"]:
        everybody = statement["Principal"] in ("*", {"AWS": "*"})
        if statement["Effect"] == "Allow" and everybody and "Condition" not in statement:
            yield "it lets everybody on AWS in"


def host_may_decrypt(production: Lab) -> Iterator[str]:
    iam, role = production.client("iam"), production.role("instance")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [
        json.dumps(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for name in names
    ]
    if not any("kms:Decrypt" in document for document in documents):
        yield "the host's role in production may still not decrypt: read_artifacts, with production's Lab and the key"


def with_external_id(now: Snapshot) -> str:
    return now.status


def freeze_written(frozen: dict[str, Any]) -> Iterator[str]:
    actions = frozen["Action"] if isinstance(frozen["Action"], list) else [frozen["Action"]]
    if frozen.get("Effect") != "Deny":
        yield "a service control policy gives nothing, so an Allow changes nothing: Deny"
    if "*" in actions or "codedeploy:*" in actions:
        yield "nobody could even look at deployments, or stop one. Deny the one action"
    if actions != ["codedeploy:CreateDeployment"]:
        yield f"it denies {', '.join(actions)}; deploying is codedeploy:CreateDeployment"
    if frozen.get("Resource") not in ("*", ["*"]):
        yield "a freeze is for every application: the resource is *"
