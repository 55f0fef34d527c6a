"""A log group's KMS key, which CloudWatch Logs itself has to be allowed to use.

Who asks for the key need not be allowed it: CloudWatch Logs calls AWS KMS as a service, when the key is
associated and whenever events are read, and the key's policy decides. What was stored under a key needs that
key for as long as it is kept, whatever the group's key is by then. Events lie as they are in the lab's memory.

AWS pages: "Encrypt log data in CloudWatch Logs using AWS Key Management Service"; "AssociateKmsKey" and
"DisassociateKmsKey" in the API Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

from botocore.exceptions import ClientError
from moto.logs.exceptions import ResourceNotFoundException
from moto.logs.models import LogGroup, LogsBackend
from moto.logs.responses import LogsResponse

from labkit.cloud.shared import clients
from labkit.cloud.shared.service import AWSError

# encrypted, as KMS gave them out, each for what was stored since
_data_keys: WeakKeyDictionary[LogGroup, list[bytes]] = WeakKeyDictionary()


def start() -> None:
    """Have keys of log groups asked: called once, when CloudWatch Logs is first asked for."""
    LogsBackend.create_log_group = _asking(LogsBackend.create_log_group)  # type: ignore[method-assign]
    LogsBackend.start_query = _reading_groups(LogsBackend.start_query)  # type: ignore[method-assign]
    LogGroup.get_log_events = _reading(LogGroup.get_log_events)  # type: ignore[method-assign]
    LogGroup.filter_log_events = _reading(LogGroup.filter_log_events)  # type: ignore[method-assign]
    LogsResponse.associate_kms_key = _associate  # type: ignore[attr-defined]
    LogsResponse.disassociate_kms_key = _disassociate  # type: ignore[attr-defined]


def _asking(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def create_log_group(
        self: LogsBackend, log_group_name: str, tags: dict[str, str], **more: Any
    ) -> Any:
        if key := more.get("kmsKeyId"):
            arn = f"arn:aws:logs:{self.region_name}:{self.account_id}:log-group:{log_group_name}"
            data_key = _data_key(key, arn, self.region_name, self.account_id)
        made = original(self, log_group_name, tags, **more)
        if key:
            _data_keys[self.groups[log_group_name]] = [data_key]
        return made

    return create_log_group


def _reading(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def read(self: LogGroup, *given: Any, **more: Any) -> Any:
        _decrypt(self)
        return original(self, *given, **more)

    return read


def _reading_groups(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def start_query(self: LogsBackend, log_group_names: list[str], *given: Any, **more: Any) -> Any:
        for name in log_group_names:
            if name in self.groups:
                _decrypt(self.groups[name])
        return original(self, log_group_names, *given, **more)

    return start_query


def _associate(self: LogsResponse) -> str:
    group, key = _group(self), self._get_param("kmsKeyId")
    data_key = _data_key(key, group.arn, group.region, group.account_id)
    _data_keys.setdefault(group, []).append(data_key)
    group.kms_key_id = key
    return ""


def _disassociate(self: LogsResponse) -> str:
    _group(self).kms_key_id = None  # what is stored stays under its key
    return ""


def _group(self: LogsResponse) -> LogGroup:
    known = self.logs_backend.groups.get(self._get_param("logGroupName") or "")
    if known is None:
        raise ResourceNotFoundException()
    return known


def _data_key(key: str, group_arn: str, region: str, account_id: str) -> bytes:
    """A data key for a log group, encrypted under a KMS key that CloudWatch Logs may use for it.

    Raises:
        AWSError: AccessDeniedException.
    """
    with _as_logs(group_arn, region, account_id) as kms:
        made = kms.generate_data_key(
            KeyId=key, KeySpec="AES_256", EncryptionContext={"aws:logs:arn": group_arn}
        )
        kms.decrypt(
            CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"aws:logs:arn": group_arn}
        )
        return bytes(made["CiphertextBlob"])


def _decrypt(group: LogGroup) -> None:
    """See that what a group stores can be read.

    Raises:
        AWSError: AccessDeniedException, in the words of AssociateKmsKey: AWS documents none for a read.
    """
    for data_key in _data_keys.get(group, ()):
        with _as_logs(group.arn, group.region, group.account_id) as kms:
            kms.decrypt(CiphertextBlob=data_key, EncryptionContext={"aws:logs:arn": group.arn})


@contextmanager
def _as_logs(group_arn: str, region: str, account_id: str) -> Iterator[Any]:
    try:
        with clients.on_behalf_of(group_arn):
            yield clients.as_service("logs.amazonaws.com", region, account_id).client("kms")
    except ClientError as error:
        raise AWSError(
            "AccessDeniedException",
            "The specified KMS key does not exist or is not allowed to be used with Arn "
            f"'{group_arn}'",
        ) from error
