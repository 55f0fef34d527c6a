"""The door: what is not a signed request to this lab's own address is refused, and nothing runs."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.roles import create_role


def signed(
    aws: Any, target: str, body: dict[str, Any], **changes: Any
) -> tuple[str, dict[str, str]]:
    """A signed CodeCommit request: its body and headers."""
    keys = Credentials(aws.description["access_key_id"], aws.description["secret_access_key"])
    text = json.dumps(body)
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"CodeCommit_20150413.{target}",
    }
    request = AWSRequest("POST", aws.endpoint_url + "/", headers, text)
    SigV4Auth(keys, "codecommit", "us-east-1").add_auth(request)
    return text, dict(request.headers.items()) | changes


def send(aws: Any, body: str, headers: dict[str, str]) -> tuple[int, str]:
    address = aws.endpoint_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", "/", body.encode(), {"Host": address, **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def names(aws: Any) -> list[str]:
    listed = aws.client("codecommit").list_repositories()["repositories"]
    return [item["repositoryName"] for item in listed]


def test_a_signed_request_is_answered(aws: Any) -> None:
    status, _ = send(aws, *signed(aws, "ListRepositories", {}))
    assert status == 200


def test_an_operation_of_any_name_is_refused_in_awss_form(aws: Any) -> None:
    status, text = send(aws, *signed(aws, "List:Repositories:", {}))
    assert (status, json.loads(text)["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    "changes",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Amz-Date": "20200101T000000Z"},
        {"Authorization": ""},
        {"Authorization": "AWS4-HMAC-SHA256 nonsense"},
        {"X-Amz-Target": "CodeCommit_20150413.DeleteRepository"},
    ],
    ids=lambda changes: " ".join(f"{key} {value}" for key, value in changes.items()) or "none",
)
def test_a_request_that_is_not_ours_is_refused_and_does_nothing(
    aws: Any, changes: dict[str, str]
) -> None:
    name = "made-by-nobody"
    body, headers = signed(aws, "CreateRepository", {"repositoryName": name})
    status, text = send(aws, body, headers | changes)
    assert status == 403, text
    assert name not in names(aws)


def test_a_changed_body_is_refused(aws: Any) -> None:
    _, headers = signed(aws, "CreateRepository", {"repositoryName": "one"})
    status, text = send(aws, json.dumps({"repositoryName": "two"}), headers)
    assert (status, json.loads(text)["__type"]) == (403, "InvalidSignatureException")
    assert not {"one", "two"} & set(names(aws))


@pytest.mark.parametrize(
    ("service", "operation", "wrong_secret", "unknown_key"),
    [
        (
            "codecommit",
            "list_repositories",
            "InvalidSignatureException",
            "UnrecognizedClientException",
        ),
        ("sts", "get_caller_identity", "SignatureDoesNotMatch", "InvalidClientTokenId"),
        ("s3", "list_buckets", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
    ],
)
def test_each_protocol_says_it_in_its_own_words(
    aws: Any, service: str, operation: str, wrong_secret: str, unknown_key: str
) -> None:
    key = aws.description["access_key_id"]
    for expected, credentials in (
        (wrong_secret, (key, "x" * 40)),
        (unknown_key, ("AKIA0000000000000000", "x" * 40)),
    ):
        client = aws.client(
            service, aws_access_key_id=credentials[0], aws_secret_access_key=credentials[1]
        )
        with pytest.raises(ClientError) as refused:
            getattr(client, operation)()
        assert refused.value.response["Error"]["Code"] == expected
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("codecommit", "create_pull_request", {"title": "t", "targets": [{"repositoryName": "r", "sourceReference": "b"}]}, "UnknownOperationException"),
        ("codebuild", "list_fleets", {}, "UnknownOperationException"),
        ("deploy", "delete_resources_by_external_id", {}, "UnknownOperationException"),
        ("ssm", "send_command", {"DocumentName": "AWS-RunShellScript"}, "UnknownOperationException"),
        ("athena", "list_work_groups", {}, "UnknownOperationException"),
        ("iam", "list_mfa_devices", {}, "InvalidAction"),
    ],
)  # fmt: skip
def test_what_is_not_there_says_so_and_names_the_operation(
    aws: Any, service: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    client = aws.client("codedeploy" if service == "deploy" else service)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**parameters)
    error = refused.value.response
    assert error["Error"]["Code"] == code
    assert "local AWS" in error["Error"]["Message"]
    assert 400 <= error["ResponseMetadata"]["HTTPStatusCode"] < 500


def test_a_presigned_url_works_without_keys_until_it_is_changed(aws: Any) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b/ä+c.txt", Body=b"content")
    url = aws.presigned("presigned", "a b/ä+c.txt")
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"content"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.replace("a%20b", "a%20c"))
    assert refused.value.code == 403


def test_a_service_cannot_act_as_a_role_that_does_not_trust_it(aws: Any) -> None:
    role = create_role(aws, "trusts-codebuild", "codebuild.amazonaws.com")
    action = {
        "name": "Source",
        "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "CodeCommit", "version": "1"},
        "configuration": {"RepositoryName": "r", "BranchName": "main"},
        "outputArtifacts": [{"name": "Source"}],
    }  # fmt: skip
    approval = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
    pipeline = {
        "name": "untrusted",
        "roleArn": role,
        "artifactStore": {"type": "S3", "location": "bucket"},
        "stages": [
            {"name": "Source", "actions": [action]},
            {"name": "Approve", "actions": [{"name": "Approve", "actionTypeId": approval}]},
        ],
    }
    with pytest.raises(ClientError, match="not authorized to perform AssumeRole"):
        aws.client("codepipeline").create_pipeline(pipeline=pipeline)


def test_every_call_leaves_a_record(aws: Any) -> None:
    aws.client("sts").get_caller_identity()
    records = [
        json.loads(line) for line in (aws.state_dir / "trail.jsonl").read_text().splitlines()
    ]
    last = [record for record in records if record["eventName"] == "GetCallerIdentity"][-1]
    assert last["eventSource"] == "sts.amazonaws.com"
    assert last["userIdentity"]["arn"] == "arn:aws:iam::123456789012:user/learner"


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        ({"Service": "codebuild.amazonaws.com"}, False),
        ({"AWS": "123456789012"}, True),
        ({"AWS": "arn:aws:iam::123456789012:root"}, True),
        ({"AWS": ["arn:aws:iam::123456789012:user/learner"]}, True),
        ({"AWS": "arn:aws:iam::444455556666:user/somebody"}, False),
        ("*", True),
    ],
    ids=str,
)
def test_a_user_can_act_as_a_role_that_names_them(aws: Any, principal: Any, allowed: bool) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    name = f"trusts-{abs(hash(str(principal)))}"
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    assume = {"RoleArn": role["Arn"], "RoleSessionName": "me"}
    if not allowed:
        with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
            aws.client("sts").assume_role(**assume)
        return
    keys = aws.client("sts").assume_role(**assume)["Credentials"]
    session = aws.client(
        "sts",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert session.get_caller_identity()["Arn"].endswith(f"assumed-role/{name}/me")
