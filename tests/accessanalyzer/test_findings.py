"""ValidatePolicy finds in a policy what AWS's page of checks names, and says where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import tables
from tests.conftest import Aws
from tests.iam.identities import user

CASES = tables.read(Path(__file__).parent / "findings.yaml")
KINDS = {
    "IDENTITY": {"policyType": "IDENTITY_POLICY"},
    "RESOURCE": {"policyType": "RESOURCE_POLICY"},
    "TRUST": {
        "policyType": "RESOURCE_POLICY",
        "validatePolicyResourceType": "AWS::IAM::AssumeRolePolicyDocument",
    },
}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(aws: Aws, case: dict[str, Any]) -> None:
    text, kind = json.dumps(case["policy"], indent=2), KINDS[case.get("of", "IDENTITY")]
    found = aws.client("accessanalyzer").validate_policy(policyDocument=text, **kind)["findings"]
    told = []
    for one in found:
        (location,) = one["locations"]
        path = [str(part.get("value", part.get("index"))) for part in location["path"]]
        told.append(f"{one['issueCode']} /{'/'.join(path)}")
        start, end = (location["span"][name]["offset"] for name in ("start", "end"))
        assert json.loads(text[start:end]) == _at(case["policy"], location["path"])
        assert "{" not in one["findingDetails"].replace("${", "")
        assert one["learnMoreLink"].startswith("https://docs.aws.amazon.com/IAM/latest/UserGuide/")
    assert sorted(told) == sorted(case["finds"])


def _at(policy: Any, path: list[dict[str, Any]]) -> Any:
    for part in path:
        policy = policy[part.get("value", part.get("index"))]
    return policy


def test_every_finding_of_the_table_is_found_in_a_case() -> None:
    from labkit.cloud.accessanalyzer import findings

    found = {one.partition(" ")[0] for case in CASES for one in case["finds"]}
    elsewhere = {"JSON_SYNTAX_ERROR", "DATA_TYPE_MISMATCH", "INVALID_PRINCIPAL_FORMAT"}
    assert findings._table().keys() - elsewhere == found


@pytest.mark.parametrize(
    ("text", "code", "start"),
    [
        ('{\n  "Version": 7,,\n}', "JSON_SYNTAX_ERROR", {"line": 2, "column": 15, "offset": 17}),
        ("[]", "DATA_TYPE_MISMATCH", {"line": 1, "column": 0, "offset": 0}),
    ],
)
def test_what_is_no_policy_at_all(aws: Aws, text: str, code: str, start: dict[str, int]) -> None:
    analyzer = aws.client("accessanalyzer")
    answer = analyzer.validate_policy(policyDocument=text, policyType="IDENTITY_POLICY")
    (found,) = answer["findings"]
    assert (found["issueCode"], found["findingType"]) == (code, "ERROR")
    assert found["locations"][0]["span"]["start"] == start


def test_findings_come_in_pages_errors_first(aws: Aws) -> None:
    text = json.dumps({"Statement": [{"Sid": "", "Effect": "Allow", "Action": "s3:Nothing"}]})
    pages = (
        aws.client("accessanalyzer")
        .get_paginator("validate_policy")
        .paginate(
            policyDocument=text, policyType="IDENTITY_POLICY", PaginationConfig={"PageSize": 1}
        )
    )
    kinds = [one["findingType"] for page in pages for one in page["findings"]]
    assert kinds == ["ERROR", "ERROR", "WARNING", "SUGGESTION"]


@pytest.mark.parametrize(
    "given",
    [
        {"policyType": "SERVICE_CONTROL_POLICY"},
        {"policyType": "IDENTITY_POLICY", "locale": "DE"},
        {"policyType": "RESOURCE_POLICY", "validatePolicyResourceType": "AWS::DynamoDB::Table"},
    ],
    ids=str,
)
def test_what_the_lab_does_not_validate_it_says(aws: Aws, given: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="validates no policies of"):
        aws.client("accessanalyzer").validate_policy(policyDocument="{}", **given)


def test_everything_else_of_access_analyzer_is_refused_by_name(aws: Aws) -> None:
    with pytest.raises(ClientError, match="does not support accessanalyzer:CreateAnalyzer"):
        aws.client("accessanalyzer").create_analyzer(analyzerName="a", type="ACCOUNT")


def test_iam_decides_who_may_validate(aws: Aws) -> None:
    with pytest.raises(ClientError, match="access-analyzer:ValidatePolicy on resource: \\*"):
        user(aws).client("accessanalyzer").validate_policy(
            policyDocument="{}", policyType="IDENTITY_POLICY"
        )
