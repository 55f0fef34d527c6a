"""What IAM does not delete as long as something depends on it, where moto would.

AWS pages: "DeleteUser", "DeleteGroup" and "DeletePolicy" in the IAM API Reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from moto.iam.exceptions import DeleteConflictException
from moto.iam.models import IAMBackend

from labkit.cloud.iam.api import credentials
from labkit.cloud.shared.service import named

# what an entity may still have -> what AWS wants first
_OF_USERS: dict[str, Callable[[IAMBackend, Any], Any]] = {
    "must delete access keys first": lambda _, user: user.access_keys,
    "must remove users from group first": lambda backend, user: backend.get_groups_for_user(
        user.name
    ),
    "must delete login profile first": lambda _, user: user.password,
    "must delete MFA device first": lambda _, user: user.mfa_devices,
    "must delete service specific credentials first": lambda _, user: credentials.of_user(user),
}
_OF_GROUPS: dict[str, Callable[[IAMBackend, Any], Any]] = {
    "must remove users from group first": lambda _, group: group.users,
    "must detach all policies first": lambda _, group: group.managed_policies,
    "must delete policies first": lambda _, group: group.policies,
}


def start() -> None:
    """Have AWS's errors said."""
    _ask_first("delete_user", "users", "user_name", _OF_USERS)
    _ask_first("delete_group", "groups", "group_name", _OF_GROUPS)
    delete = IAMBackend.delete_policy

    def delete_policy(self: Any, policy_arn: str) -> None:
        policy = self.managed_policies.get(policy_arn)
        every = (*self.roles.values(), *self.users.values())
        bounded = (getattr(one, "permissions_boundary_arn", None) for one in every)
        if policy is not None and (policy.attachment_count or policy_arn in bounded):
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        if policy is not None and len(policy.versions) > 1:
            raise DeleteConflictException(
                "This policy has more than one version. Before you delete a policy, you must delete the "
                "policy's versions. The default version is deleted with the policy."
            )
        delete(self, policy_arn)

    IAMBackend.delete_policy = delete_policy  # type: ignore[method-assign]


def _ask_first(
    name: str, kept: str, parameter: str, left: dict[str, Callable[[IAMBackend, Any], Any]]
) -> None:
    delete = getattr(IAMBackend, name)

    @wraps(delete)
    def asked(self: Any, *arguments: Any, **keywords: Any) -> Any:
        given = named(delete, self, *arguments, **keywords)[parameter]
        entity = getattr(self, kept).get(given)
        for first, has in left.items() if entity is not None else ():
            if has(self, entity):
                raise DeleteConflictException(f"Cannot delete entity, {first}.")
        return delete(self, *arguments, **keywords)

    setattr(IAMBackend, name, asked)
