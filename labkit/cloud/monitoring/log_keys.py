"""A log group's KMS key, which CloudWatch Logs itself has to be allowed to use.

Who asks for the key need not be allowed it: CloudWatch Logs calls AWS KMS as a service, when the key is
associated, and the key's policy decides. Events lie as they are in the lab's memory.

AWS page: "Encrypt log data in CloudWatch Logs using AWS Key Management Service".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from botocore.exceptions import ClientError
from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import LogGroup, LogsBackend
from moto.logs.responses import LogsResponse

from labkit.cloud.shared import clients
from labkit.cloud.shared.service import AWSError


def start() -> None:
    """Have keys of log groups asked: called once, when CloudWatch Logs is first asked for."""
    LogsBackend.create_log_group = _asking(LogsBackend.create_log_group)  # type: ignore[method-assign]
    LogsResponse.associate_kms_key = _associate  # type: ignore[attr-defined]
    LogsResponse.disassociate_kms_key = _disassociate  # type: ignore[attr-defined]


def _asking(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def create_log_group(
        self: LogsBackend, log_group_name: str, tags: dict[str, str], **more: Any
    ) -> Any:
        if key := more.get("kmsKeyId"):
            arn = f"arn:aws:logs:{self.region_name}:{self.account_id}:log-group:{log_group_name}"
            _ask(key, arn, self.region_name, self.account_id)
        return original(self, log_group_name, tags, **more)

    return create_log_group


def _associate(self: LogsResponse) -> str:
    group, key = _group(self), self._get_param("kmsKeyId")
    _ask(key, group.arn, group.region, group.account_id)
    group.kms_key_id = key
    return ""


def _disassociate(self: LogsResponse) -> str:
    _group(self).kms_key_id = None
    return ""


def _group(self: LogsResponse) -> LogGroup:
    known = self.logs_backend.groups.get(self._get_param("logGroupName") or "")
    if known is None:
        raise ResourceNotFoundException()
    return known


def _ask(key: str, group_arn: str, region: str, account_id: str) -> None:
    """See that CloudWatch Logs may use a key for a log group.

    Raises:
        AWSError: AccessDeniedException.
    """
    kms = clients.as_service("logs.amazonaws.com", region, account_id).client("kms")
    try:
        with clients.on_behalf_of(group_arn):
            made = kms.generate_data_key(
                KeyId=key, KeySpec="AES_256", EncryptionContext={"aws:logs:arn": group_arn}
            )
            kms.decrypt(
                CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"aws:logs:arn": group_arn}
            )
    except ClientError as error:
        raise AWSError(
            "AccessDeniedException",
            "The specified KMS key does not exist or is not allowed to be used with Arn "
            f"'{group_arn}'",
        ) from error
