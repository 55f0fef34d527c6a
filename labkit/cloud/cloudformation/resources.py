"""What moto leaves out of the resources that it makes of a template.

AWS pages: AWS::IAM::Role, AWS::KMS::Key, AWS::Lambda::Function and AWS::S3::Bucket in the AWS resource and
property types reference.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.iam.models import Role, iam_backends
from moto.kms.models import KmsBackend
from moto.s3.models import FakeBucket, s3_backends

from labkit.cloud.cloudformation.policies import as_json


def start() -> None:
    """Make it: called once, when CloudFormation is first asked for."""
    LambdaFunction._create_zipfile_from_plaintext_code = staticmethod(_archive)  # type: ignore[method-assign]
    _keep_policies_as_json()
    _make_what_moto_leaves_out()


def _archive(code: str) -> bytes:
    """The code of a function that stands in its template: the file is called index on AWS."""
    body = BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("index.py", code)
        archive.writestr("index.js", code)
    return body.getvalue()


def _keep_policies_as_json() -> None:
    """A policy in a template is a mapping, which moto would keep as Python writes it."""
    put, create = Role.put_policy, KmsBackend.create_key

    def put_policy(self: Any, policy_name: str, policy_json: Any) -> None:
        put(self, policy_name, as_json(policy_json))

    def create_key(self: Any, policy: Any, *arguments: Any, **keywords: Any) -> Any:
        return create(self, as_json(policy), *arguments, **keywords)

    Role.put_policy = put_policy  # type: ignore[method-assign]
    KmsBackend.create_key = create_key  # type: ignore[method-assign]


def _make_what_moto_leaves_out() -> None:
    make_role, make_bucket = (
        Role.create_from_cloudformation_json,
        FakeBucket.create_from_cloudformation_json,
    )
    delete_role = Role.delete_from_cloudformation_json

    def role(name: str, given: Any, account_id: str, region: str, **more: Any) -> Any:
        made = make_role(name, given, account_id, region, **more)
        for arn in given["Properties"].get("ManagedPolicyArns", []):
            iam_backends[account_id]["aws"].attach_role_policy(arn, made.name)
        return made

    def no_role(name: str, given: Any, account_id: str, region: str) -> None:
        backend = iam_backends[account_id]["aws"]
        for arn in list(backend.get_role(name).managed_policies):
            backend.detach_role_policy(arn, name)
        delete_role(name, given, account_id, region)

    def bucket(name: str, given: Any, account_id: str, region: str, **more: Any) -> Any:
        made = make_bucket(name, given, account_id, region, **more)
        properties, backend = given.get("Properties", {}), s3_backends[account_id]["aws"]
        if blocked := properties.get("PublicAccessBlockConfiguration"):
            backend.put_public_access_block(name, {**_NOTHING_BLOCKED, **blocked})
        if versioning := properties.get("VersioningConfiguration"):
            backend.put_bucket_versioning(name, versioning["Status"])
        return made

    Role.create_from_cloudformation_json = staticmethod(role)  # type: ignore[method-assign,assignment]
    Role.delete_from_cloudformation_json = staticmethod(no_role)  # type: ignore[method-assign,assignment]
    FakeBucket.create_from_cloudformation_json = staticmethod(bucket)  # type: ignore[method-assign,assignment]


_NOTHING_BLOCKED = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
)
