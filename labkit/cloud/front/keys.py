"""KMS keys that a service uses for who asks it: what is refused of them has each service's own words.

Whether IAM lets the caller use a key is asked with all else at the door (`uses` in `iam/asked`); here is
whether the key can be used at all.

AWS pages: "Key states of AWS KMS keys"; "Troubleshooting access denied (403 Forbidden) errors in Amazon S3";
"SendMessage" (SQS API Reference) and "Publish" (SNS API Reference), errors; "Troubleshooting AWS Secrets
Manager"; "Access AWS Secrets Manager secrets from a different account".
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.cloud.iam import managed_keys, state
from labkit.cloud.iam.asked import Asked
from labkit.cloud.shared.service import AWSError

# what a key refuses -> the service's code for it
_CODES = {
    "s3": {
        "denied": "AccessDenied",
        "not found": "KMS.NotFoundException",
        "disabled": "KMS.DisabledException",
        "pending deletion": "KMS.KMSInvalidStateException",
    },
    "sqs": {
        "denied": "KMS.AccessDeniedException",
        "not found": "KMS.NotFoundException",
        "disabled": "KMS.DisabledException",
        "pending deletion": "KMS.InvalidStateException",
    },
    "sns": {
        "denied": "KMSAccessDenied",
        "not found": "KMSNotFound",
        "disabled": "KMSDisabled",
        "pending deletion": "KMSInvalidState",
    },
    "secretsmanager": {"denied": "AccessDeniedException"},
}
_FAILURES = {  # of Secrets Manager, which tells no more
    "kms:Decrypt": (
        "DecryptionFailure",
        "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
    ),
    "kms:GenerateDataKey": (
        "EncryptionFailure",
        "Secrets Manager can't encrypt the protected secret text using the provided KMS key.",
    ),
}
_OF_ANOTHER_ACCOUNT = (
    "You can't access a secret from a different AWS account if you encrypt the secret with the "
    "default KMS service key."
)


def is_used(boto3_name: str, asked: Asked) -> bool:
    """Whether a question is of a key that a service uses, and not asked of KMS itself."""
    return boto3_name in _CODES and asked.action.startswith("kms:")


def denied(boto3_name: str, sentence: str, refused: Asked) -> AWSError:
    """That IAM does not let who asks use a key, as the service says it."""
    if boto3_name == "secretsmanager":
        arn = state.parsed(refused.resource)
        if arn is not None and managed_keys.is_managed(arn):
            return AWSError("InvalidRequestException", _OF_ANOTHER_ACCOUNT)
        sentence = "Access to KMS is not allowed"
    return AWSError(_CODES[boto3_name]["denied"], sentence)


def check(boto3_name: str, asked: Iterable[Asked]) -> None:
    """See that the keys which a request uses can be used.

    Raises:
        AWSError: KMS's, by the name that the service gives it.
    """
    for one in asked:
        if not is_used(boto3_name, one) or (fault := _fault(one.resource)) is None:
            continue
        kind, message = fault
        if boto3_name == "secretsmanager":
            raise AWSError(*_FAILURES[one.action])
        raise AWSError(_CODES[boto3_name][kind], message)


def _fault(text: str) -> tuple[str, str] | None:
    """Why a key cannot be used: what `_CODES` calls it, and KMS's words."""
    arn = state.parsed(text)
    if arn is None or managed_keys.is_managed(arn):
        return None
    if arn.kind == "alias":
        return "not found", f"Alias {text} is not found."
    key = state.kept(arn, "keys").get(arn.rest)
    if key is None:
        return "not found", f"Key '{text}' does not exist"
    if key.key_state == "Disabled":
        return "disabled", f"{text} is disabled."
    return (
        None if key.key_state == "Enabled" else ("pending deletion", f"{text} is pending deletion.")
    )
