"""Access Analyzer's API: ValidatePolicy; analyzers, their findings and policy generation are not here.

AWS page: "ValidatePolicy" in the IAM Access Analyzer API Reference.
"""

from __future__ import annotations

from typing import Any, ClassVar

from labkit.cloud.accessanalyzer import findings
from labkit.cloud.shared.service import AWSError, Service, page

_TYPES = ("IDENTITY_POLICY", "RESOURCE_POLICY")
_TRUST = "AWS::IAM::AssumeRolePolicyDocument"


class AccessAnalyzer(Service):
    boto3_name: ClassVar[str] = "accessanalyzer"

    def validate_policy(
        self,
        policyDocument: str,
        policyType: str,
        locale: str | None = None,
        maxResults: int | None = None,
        nextToken: str | None = None,
        validatePolicyResourceType: str | None = None,
    ) -> dict[str, Any]:
        for value, known in (
            (policyType, _TYPES),
            (locale or "EN", ("EN",)),
            (validatePolicyResourceType or _TRUST, (_TRUST,)),
        ):
            if value not in known:
                message = (
                    f"The lab's local AWS validates no policies of {value} (nothing was done)."
                )
                raise AWSError("ValidationException", message)
        if validatePolicyResourceType and policyType != "RESOURCE_POLICY":
            raise AWSError(
                "ValidationException", "validatePolicyResourceType is of a RESOURCE_POLICY alone."
            )
        kind = "TRUST_POLICY" if validatePolicyResourceType else policyType
        found = findings.of(policyDocument, kind)
        items, token = page(found, nextToken, maxResults, 1000, error_code="ValidationException")
        return {"findings": items, **({"nextToken": token} if token else {})}
