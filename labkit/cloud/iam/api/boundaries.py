"""Permissions boundaries of users, which moto does not have; and of none but policies that are there.

AWS pages: "PutUserPermissionsBoundary" and "CreateUser" in the IAM API Reference; "Permissions boundaries
for IAM entities".
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.iam.exceptions import NotFoundException
from moto.iam.models import IAMBackend, User
from moto.iam.responses import IamResponse

from labkit.cloud.shared.service import named


def start() -> None:
    """Answer the operations, and have a policy that is not there refused."""
    User.permissions_boundary_arn = None  # type: ignore[attr-defined]
    User.permissions_boundary = property(_described)  # type: ignore[attr-defined]
    IamResponse.put_user_permissions_boundary = _put  # type: ignore[attr-defined]
    IamResponse.delete_user_permissions_boundary = _delete  # type: ignore[attr-defined]
    IamResponse.create_user = _create_user(IamResponse.create_user)  # type: ignore[method-assign]
    for name in ("create_role", "put_role_permissions_boundary"):
        _check_first(name)


def _described(user: Any) -> dict[str, str] | None:
    arn = user.permissions_boundary_arn
    if arn is None:
        return None
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}


def _put(self: IamResponse) -> ActionResult:
    user: Any = self.backend.get_user(self.params["UserName"])
    user.permissions_boundary_arn = _attachable(self.backend, self.params["PermissionsBoundary"])
    return EmptyResult()


def _delete(self: IamResponse) -> ActionResult:
    user: Any = self.backend.get_user(self.params["UserName"])
    if user.permissions_boundary_arn is None:
        raise NotFoundException(f"User {user.name} does not have a permission boundary.")
    user.permissions_boundary_arn = None
    return EmptyResult()


def _create_user(original: Any) -> Any:
    @wraps(original)
    def create_user(self: IamResponse) -> ActionResult:
        arn = self.params.get("PermissionsBoundary")
        if arn:
            _attachable(self.backend, arn)
        result: ActionResult = original(self)
        user: Any = self.backend.get_user(self.params["UserName"])
        user.permissions_boundary_arn = arn
        return result

    return create_user


def _check_first(name: str) -> None:
    original = getattr(IAMBackend, name)

    @wraps(original)
    def checked(self: IAMBackend, *arguments: Any, **keywords: Any) -> Any:
        if arn := named(original, self, *arguments, **keywords).get("permissions_boundary"):
            _attachable(self, arn)
        return original(self, *arguments, **keywords)

    setattr(IAMBackend, name, checked)


def _attachable(backend: IAMBackend, arn: str) -> str:
    if arn not in backend.managed_policies:
        raise NotFoundException(f"Policy {arn} does not exist or is not attachable.")
    return arn
