"""Broken input is answered with an error that the operation's model lists, not with any code.

Each operation that the Code services have here is sent what its model does not allow, one parameter
at a time: a required one left out, a value of another type, one that is too long or not in the list.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.model import OperationModel, Shape

from labkit.cloud.front.server import OURS
from tests.conftest import Aws

pytestmark = pytest.mark.slow

SERVICES = ("codebuild", "codecommit", "codedeploy", "codepipeline")
# a body that is not of the model's types, where the operation has no error of its own for that
NOT_OF_ITS_TYPE = "SerializationException"


def operations(service: str) -> list[OperationModel]:
    model = botocore.session.get_session().get_service_model(service)
    ours = resolve_name(OURS[service])
    names = [name for name in model.operation_names if hasattr(ours, xform_name(name))]
    return [model.operation_model(name) for name in names]


def value(shape: Shape) -> Any:
    """Something that the shape allows."""
    if shape.type_name == "structure":
        return {name: value(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [value(shape.member)]
    if shape.type_name == "map":
        return {value(shape.key): value(shape.value)}
    if shape.type_name == "string":
        return (shape.metadata.get("enum") or ["x" * max(shape.metadata.get("min", 1), 1)])[0]
    return {"boolean": True, "blob": "eA=="}.get(shape.type_name, shape.metadata.get("min", 1))


def broken(shape: Shape) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is wrong, and the input."""
    good = value(shape)
    for name, member in shape.members.items():
        if name in shape.required_members:
            yield f"without {name}", {key: one for key, one in good.items() if key != name}
        other = "x" if member.type_name in ("structure", "list", "map") else ["x"]
        yield f"{name} of another type", {**good, name: other}
        if member.type_name == "string" and member.metadata.get("max", 10**9) < 10**4:
            yield f"{name} too long", {**good, name: "x" * (member.metadata["max"] + 1)}
        if member.type_name == "string" and member.metadata.get("enum"):
            yield f"{name} of no such value", {**good, name: "no-such-value"}


def ask(aws: Aws, operation: OperationModel, body: dict[str, Any]) -> str:
    """The error's code, or "" if it is answered well; what botocore would not send is sent, too."""
    service = operation.service_model
    region = aws.description["region"]
    headers = {
        "X-Amz-Target": f"{service.metadata['targetPrefix']}.{operation.name}",
        "Content-Type": f"application/x-amz-json-{service.metadata['jsonVersion']}",
    }
    request = AWSRequest("POST", aws.endpoint_url + "/", headers, json.dumps(body).encode())
    keys = Credentials(aws.description["access_key_id"], aws.description["secret_access_key"])
    SigV4Auth(keys, service.signing_name, region).add_auth(request)
    sent = urllib.request.Request(request.url, request.data, dict(request.headers), method="POST")
    try:
        with urllib.request.urlopen(sent, timeout=30):
            return ""
    except urllib.error.HTTPError as error:
        return str(json.loads(error.read())["__type"]).rpartition("#")[2]


@pytest.mark.parametrize("service", SERVICES)
def test_broken_input_is_answered_as_the_operation_s_model_says(aws: Aws, service: str) -> None:
    wrong = []
    for operation in operations(service):
        listed = {shape.name for shape in operation.error_shapes}
        if operation.input_shape is None or not listed:
            continue
        for what, body in broken(operation.input_shape):
            code = ask(aws, operation, body)
            mistyped = "another type" in what and code == NOT_OF_ITS_TYPE
            if code not in listed and not mistyped:
                wrong.append(f"{operation.name} {what}: {code or 'no error'}")
    assert wrong == []


ERRORS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("codecommit", "get_repository", {"repositoryName": "no name!"}, "InvalidRepositoryNameException", "regular expression"),
    ("codecommit", "get_repository", {}, "RepositoryNameRequiredException", "repositoryName"),
    ("codecommit", "create_repository", {"repositoryName": "x", "repositoryDescription": "x" * 1001}, "InvalidRepositoryDescriptionException", "1000"),
    ("codebuild", "batch_get_builds", {"ids": ["none"]}, "InvalidInputException", "Invalid build ID: none"),
    ("codebuild", "stop_build", {"id": "none"}, "InvalidInputException", "Invalid build ID: none"),
    ("codebuild", "stop_build", {"id": "project:1"}, "ResourceNotFoundException", "cannot be found"),
    ("codebuild", "stop_build_batch", {"id": "none"}, "InvalidInputException", "Invalid build batch ID: none"),
    ("codebuild", "batch_get_projects", {"names": []}, "InvalidInputException", "names"),
    ("codedeploy", "list_deployments", {"deploymentGroupName": "g"}, "ApplicationNameRequiredException", "required"),
    ("codedeploy", "list_deployments", {"applicationName": "a"}, "DeploymentGroupNameRequiredException", "required"),
    ("codedeploy", "get_application", {"applicationName": "x" * 101}, "InvalidApplicationNameException", "100"),
    ("codepipeline", "get_pipeline", {"name": "no name!"}, "ValidationException", "regular expression"),
    ("codepipeline", "put_approval_result", {"pipelineName": "none", "stageName": "s", "actionName": "a", "token": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "result": {"summary": "", "status": "Approved"}}, "PipelineNotFoundException", "The account with id '123456789012' does not include a pipeline with the name 'none'"),
    ("codepipeline", "list_tags_for_resource", {"resourceArn": "arn:aws:codepipeline:us-east-1:123456789012:none"}, "ResourceNotFoundException", "The account with id '123456789012' does not include a pipeline with the name 'none'"),
    ("codepipeline", "tag_resource", {"resourceArn": "arn:aws:codepipeline:us-east-1:123456789012:none", "tags": [{"key": "a", "value": "b"}]}, "ResourceNotFoundException", "The account with id '123456789012' does not include a pipeline with the name 'none'"),
    ("codepipeline", "get_pipeline", {"name": "none"}, "PipelineNotFoundException", "Account '123456789012' does not have a pipeline with name 'none'"),
]  # fmt: skip


@pytest.mark.parametrize(
    "service, operation, given, code, says",
    ERRORS,
    ids=[f"{one[0]}-{one[1]}-{number}" for number, one in enumerate(ERRORS)],
)
def test_an_error_is_aws_s_own(
    aws: Aws, service: str, operation: str, given: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(aws.unchecked(service), operation)(**given)
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert says in error["Message"]
