"""The organization that an account is in, and the service control policies between its root and the account.

AWS pages: "Service control policies (SCPs)" and "SCP evaluation" in the AWS Organizations User Guide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from labkit.cloud.iam import state
from labkit.cloud.iam.statements import Policy
from labkit.cloud.shared.identity import Principal

_SCP = "SERVICE_CONTROL_POLICY"
_LINKED = ":role/aws-service-role/"
ROLE = "OrganizationAccountAccessRole"


def of(account_id: str) -> Any | None:
    """What Organizations keeps of the organization that an account is in; None if it is in none."""
    own = state.backend("organizations", account_id, "")
    if own is not None and own.org is not None:
        return own
    members = getattr(state.backends("organizations"), "master_accounts", {})
    if account_id not in members:
        return None
    return state.backend("organizations", members[account_id][0], "")


def id_of(account_id: str) -> str | None:
    """`o-...`, as `aws:PrincipalOrgID` has it."""
    found = of(account_id)
    return None if found is None else str(found.org.id)


def arn_of(account_id: str, named: str) -> str | None:
    """The ARN of a root, unit, account or policy of the organization, by its id."""
    found = of(account_id)
    things = (*found.ou, *found.accounts, *found.policies) if found else ()
    return next((one.arn for one in things if one.id == named), None)


def scps(principal: Principal) -> tuple[tuple[Policy, ...], ...] | None:
    """What is attached to each level from the root to the principal's account.

    None where they do not apply: without an organization, in its management account, and to roles that
    are linked to services.
    """
    found = of(principal.account_id)
    if found is None or principal.account_id == found.org.master_account_id:
        return None
    if _LINKED in (principal.role_arn or ""):
        return None
    return tuple(
        tuple(
            Policy(one.content, one.name, one.arn)
            for one in level.attached_policies
            if one.type == _SCP
        )
        for level in _levels(found, principal.account_id)
    )


def _levels(organization: Any, account_id: str) -> Iterator[Any]:
    known = {one.id: one for one in (*organization.ou, *organization.accounts)}
    level = known.get(account_id)
    while level is not None:
        yield level
        level = known.get(getattr(level, "parent_id", None))


def start() -> None:
    """What AWS does beside moto: called once, when Organizations is first asked for."""
    from moto.iam.models import iam_backends
    from moto.organizations.models import OrganizationsBackend

    create, organize = OrganizationsBackend.create_account, OrganizationsBackend.create_organization

    def create_account(self: Any, **given: Any) -> Any:
        """The role is an administrator's ("Accessing a member account that has ...AccessRole")."""
        status = create(self, **given)
        iam = iam_backends[status["CreateAccountStatus"]["AccountId"]]["aws"]
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_role_policy(given.get("RoleName") or ROLE, "AdministratorAccess", document)
        return status

    def create_organization(self: Any, region: str, **given: Any) -> Any:
        """Service control policies are enabled in the root ("CreateOrganization", API Reference)."""
        answer = organize(self, region, **given)
        self.ou[0].add_policy_type(_SCP)
        return answer

    OrganizationsBackend.create_account = create_account  # type: ignore[method-assign]
    OrganizationsBackend.create_organization = create_organization  # type: ignore[method-assign]
