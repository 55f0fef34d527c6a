"""Service-specific credentials: a user's name and password for git, in place of a signature.

AWS pages: "CreateServiceSpecificCredential" and the other four in the IAM API Reference; "Setup for HTTPS
users using Git credentials" in the AWS CodeCommit User Guide.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from moto.core.responses import ActionResult, EmptyResult
from moto.iam.models import User, iam_backends
from moto.iam.responses import IamResponse

from labkit.cloud.iam.api.paging import listed
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import AWSError

CODECOMMIT = "codecommit.amazonaws.com"
_MOST = 2  # of a user and service: "IAM and AWS STS quotas"
_NAMES = string.ascii_uppercase + string.digits


@dataclass(eq=False)
class Credential:
    """A user name and password for one service."""

    service: str
    service_user: str
    password: str = field(default_factory=lambda: _password())
    active: bool = True
    id: str = field(default_factory=lambda: "ACCA" + _random(17))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def described(self, user: User) -> dict[str, Any]:
        return {
            "UserName": user.name,
            "Status": "Active" if self.active else "Inactive",
            "ServiceUserName": self.service_user,
            "CreateDate": self.created,
            "ServiceSpecificCredentialId": self.id,
            "ServiceName": self.service,
        }


_kept: WeakKeyDictionary[User, list[Credential]] = WeakKeyDictionary()


def start() -> None:
    """Answer the operations, which moto does not."""
    IamResponse.create_service_specific_credential = _create  # type: ignore[attr-defined]
    IamResponse.list_service_specific_credentials = _list  # type: ignore[attr-defined]
    IamResponse.update_service_specific_credential = _update  # type: ignore[attr-defined]
    IamResponse.reset_service_specific_credential = _reset  # type: ignore[attr-defined]
    IamResponse.delete_service_specific_credential = _delete  # type: ignore[attr-defined]


def of_user(user: User) -> list[Credential]:
    """The credentials that a user has."""
    return _kept.get(user, [])


def find(service: str, name: str, password: str) -> Principal | None:
    """The user whose active name and password these are."""
    for account_id, backends in list(iam_backends.items()):
        for user in list(backends["aws"].users.values()):
            for one in of_user(user):
                known = one.service == service and one.service_user == name and one.active
                if known and hmac.compare_digest(one.password.encode(), password.encode()):
                    return Principal(user.arn, account_id, one.id, one.password)
    return None


def _create(self: IamResponse) -> ActionResult:
    user, service = self.backend.get_user(self.params["UserName"]), self.params["ServiceName"]
    _check_service(service)
    known = _kept.setdefault(user, [])
    if len(known) >= _MOST:
        raise AWSError(
            "LimitExceeded", f"Cannot exceed quota for ServiceSpecificCredentialsPerUser: {_MOST}"
        )
    names = _service_users(user)
    credential = Credential(service, next(name for name in names if not _is_taken(known, name)))
    known.append(credential)
    return _told(user, credential)


def _list(self: IamResponse) -> ActionResult:
    if service := self.params.get("ServiceName"):
        _check_service(service)
    users = list(self.backend.users.values()) if self.params.get("AllUsers") else [_user(self)]
    found = [
        one.described(user)
        for user in users
        for one in of_user(user)
        if service in (None, one.service)
    ]
    return ActionResult(listed(found, "ServiceSpecificCredentials", self.params))


def _update(self: IamResponse) -> ActionResult:
    _, credential = _credential(self)
    credential.active = self.params["Status"] == "Active"
    return EmptyResult()


def _reset(self: IamResponse) -> ActionResult:
    user, credential = _credential(self)
    credential.password = _password()
    return _told(user, credential)


def _delete(self: IamResponse) -> ActionResult:
    user, credential = _credential(self)
    _kept[user].remove(credential)
    return EmptyResult()


def _told(user: User, credential: Credential) -> ActionResult:
    """With the password, which is said this once."""
    told = {**credential.described(user), "ServicePassword": credential.password}
    return ActionResult({"ServiceSpecificCredential": told})


def _user(self: IamResponse) -> User:
    """Whom a request names, or who asks."""
    principal: Principal = self.normalized_request.environ["labkit.principal"]
    return self.backend.get_user(self.params.get("UserName") or principal.arn.rpartition("/")[2])


def _credential(self: IamResponse) -> tuple[User, Credential]:
    user, wanted = _user(self), self.params["ServiceSpecificCredentialId"]
    for one in of_user(user):
        if one.id == wanted:
            return user, one
    raise AWSError("NoSuchEntity", f"No such credential {wanted} exists")


def _check_service(name: str) -> None:
    if name != CODECOMMIT:
        message = f"The lab's local AWS has no service-specific credentials for {name}."
        raise AWSError("NotSupportedService", message)


def _service_users(user: User) -> Iterator[str]:
    yield f"{user.name}-at-{user.account_id}"
    for number in range(1, _MOST + 1):
        yield f"{user.name}+{number}-at-{user.account_id}"


def _is_taken(known: list[Credential], name: str) -> bool:
    return any(one.service_user == name for one in known)


def _password() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _random(length: int) -> str:
    return "".join(secrets.choice(_NAMES) for _ in range(length))
