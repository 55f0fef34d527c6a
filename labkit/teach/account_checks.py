"""The check of the lesson on accounts: it reads both accounts, the key and the bucket between them.

AWS page: "Create a pipeline that uses resources from another AWS account" (CodePipeline User Guide).
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from labkit.lab import Lab
from labkit.provision import accounts as provisioning
from labkit.teach.result import Result, line


def accounts(lab: Lab) -> Result:
    """A pipeline has deployed into another account, with a key and a bucket that both sides may use."""

    def declared() -> dict[str, Any]:
        found: dict[str, Any] = lab.client("codepipeline").get_pipeline(name=lab.pipeline)
        return dict(found["pipeline"])

    @cache
    def other() -> str:
        """The account that the last stage's action acts in."""
        account = str(declared()["stages"][-1]["actions"][0]["roleArn"].split(":")[4])
        if account == lab.account_id:
            raise LookupError("the action's role is in the pipeline's own account")
        return account

    def key_policy() -> str:
        key = declared()["artifactStore"]["encryptionKey"]["id"]
        answer = lab.client("kms").get_key_policy(KeyId=key, PolicyName="default")
        return str(answer["Policy"])

    def bucket_policy() -> list[dict[str, Any]]:
        text = lab.client("s3").get_bucket_policy(Bucket=lab.bucket)["Policy"]
        return list(json.loads(text)["Statement"])

    def deployed() -> bool:
        codedeploy = provisioning.enter(lab, other()).client("codedeploy")
        return bool(
            codedeploy.list_deployments(
                applicationName=lab.application,
                deploymentGroupName=lab.fleet,
                includeOnlyStatuses=["Succeeded"],
            )["deployments"]
        )

    def denied() -> str:
        return json.dumps([one for one in bucket_policy() if one["Effect"] == "Deny"])

    return Result(
        "accounts",
        (
            line(
                "the pipeline deploys by a role of another account",
                "give the Deploy action a roleArn: accounts.create_pipeline",
                other,
            ),
            line(
                "the artifacts have a key of yours, which the other account may use",
                "accounts.create_key(lab, account), and encryptionKey in the artifact store",
                lambda: f":{other()}:" in key_policy(),
            ),
            line(
                "the other account may read the bucket",
                "accounts.share_bucket(lab, account)",
                lambda: other() in json.dumps(bucket_policy()),
            ),
            line(
                "the bucket takes nothing unencrypted, and nothing without TLS",
                "accounts.share_bucket writes both denials",
                lambda: (
                    "s3:x-amz-server-side-encryption" in denied()
                    and "aws:SecureTransport" in denied()
                ),
            ),
            line(
                "a release runs in the other account",
                "fix what the host complains about, and retry the stage",
                deployed,
            ),
        ),
    )
