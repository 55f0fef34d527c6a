"""Every operation of every service, asked with input that is made from its model alone.

Nothing answers with an empty success, with an inner error or with a traceback in the lab's log: what the
lab cannot do is refused by name, and what AWS would not take is refused as AWS does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from labkit.cloud.front import launcher, operations
from labkit.cloud.front.server import OURS
from labkit.cloud.front.services import SERVICES
from tests.conftest import Aws
from tests.operations import minimal, playing

# what older clients call it -> the operation that such a request asks for
OTHER_NAMES = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
UNSIGNED = {
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
}  # which the door refuses before all else
REFUSED = {"UnknownOperationException", "InvalidAction", "NotImplemented"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A lab of its own: what the walk makes is in nobody's way."""
    description, _ = launcher.up(tmp_path_factory.mktemp("walk"))
    yield Aws(description)
    launcher.down(Path(description["state_dir"]))


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES.values())
def test_every_operation_says_what_it_did(lab: Aws, service: str) -> None:
    client = lab.unchecked(service)
    model = client.meta.service_model
    before = (lab.state_dir / "log").stat().st_size
    faults = {}
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        if fault := _fault(client, service, name, minimal.input_of(shape)):
            faults[name] = fault
    assert faults == {}
    log = (lab.state_dir / "log").read_bytes()[before:].decode()
    for fault in ("Traceback", "could not do it"):
        assert fault not in log, log[log.index(fault) :][:3000]


def _fault(client: Any, service: str, name: str, given: dict[str, Any]) -> str | None:
    """What is wrong with the answer to an operation, if anything is."""
    try:
        answer = getattr(client, xform_name(name))(**given)
    except ClientError as error:
        return _fault_of_refusal(service, name, error.response)
    if not _is_let_through(service, name):
        return f"is let through, and answers {answer}"
    try:
        playing.assert_answered(service, client.meta.service_model.operation_model(name), answer)
    except AssertionError as error:
        return str(error)
    return None


def _fault_of_refusal(service: str, name: str, response: Any) -> str | None:
    code, message = response["Error"]["Code"], response["Error"].get("Message") or ""
    if response["ResponseMetadata"]["HTTPStatusCode"] >= 500 or "could not be done" in message:
        return f"{code}: {message}"
    if name in UNSIGNED:
        return None if code == "MissingAuthenticationToken" else code
    refused = code in REFUSED and "nothing was done" in message
    if refused == _is_let_through(service, name):
        return f"{code}: {message}"
    return None


def _is_let_through(service: str, name: str) -> bool:
    if service in OURS:
        return hasattr(resolve_name(OURS[service]), xform_name(name))
    table = operations.of(service)
    return table is not None and OTHER_NAMES.get(name, name) in table.kinds
