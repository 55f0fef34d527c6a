"""The organization that an account is in, and the control policies between its root and the account.

AWS pages: "Service control policies (SCPs)", "SCP evaluation", "Resource control policies (RCPs)", "RCP
evaluation" and "RCP syntax" in the AWS Organizations User Guide.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from labkit.cloud.iam import documents, managed_keys, state
from labkit.cloud.iam.asked import Asked
from labkit.cloud.iam.statements import Policy
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import AWSError

_SCP = "SERVICE_CONTROL_POLICY"
_RCP = "RESOURCE_CONTROL_POLICY"
# the services whose actions they deny, of those that the lab has
_WITH_RCPS = ("ecr", "kms", "logs", "s3", "secretsmanager", "sqs", "sts")
_LINKED = ":role/aws-service-role/"
ROLE = "OrganizationAccountAccessRole"


def of(account_id: str) -> Any | None:
    """What Organizations keeps of the organization that an account is in; None if it is in none."""
    if "moto.organizations.models" not in sys.modules:  # asked several times at each request
        return None
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

    None where they do not apply: without an organization that has them enabled, in its management account,
    and to roles that are linked to services.
    """
    found = of(principal.account_id)
    if found is None or principal.account_id == found.org.master_account_id:
        return None
    if _LINKED in (principal.role_arn or "") or not _enabled(found, _SCP):
        return None
    return tuple(
        tuple(
            Policy(one.content, one.name, one.arn)
            for one in level.attached_policies
            if one.type == _SCP
        )
        for level in _levels(found, principal.account_id)
    )


def rcps(principal: Principal, account_id: str, asked: Asked) -> tuple[Policy, ...]:
    """What is attached between the root and the account of a resource, which whoever asks is bound by.

    Nothing binds the management account's resources, a role that is linked to a service, or a key that AWS
    manages. What allows, `RCPFullAWSAccess`, is always there.
    """
    found, arn = of(account_id), state.parsed(asked.resource)
    if found is None or account_id == found.org.master_account_id:
        return ()
    if asked.action.partition(":")[0] not in _WITH_RCPS or _LINKED in (principal.role_arn or ""):
        return ()
    if (arn is not None and managed_keys.is_managed(arn)) or not _enabled(found, _RCP):
        return ()
    return tuple(
        Policy(one.content, one.name, one.arn)
        for level in _levels(found, account_id)
        for one in level.attached_policies
        if one.type == _RCP
    )


def _enabled(organization: Any, kind: str) -> bool:
    return any(one["Type"] == kind for one in organization.ou[0].policy_types)


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
    attach = OrganizationsBackend.attach_policy
    create_policy, update = OrganizationsBackend.create_policy, OrganizationsBackend.update_policy

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

    def attach_policy(self: Any, **given: Any) -> None:
        policy = self.get_policy_by_id(given["PolicyId"])
        if not policy.aws_managed and not _enabled(self, policy.type):
            message = f"The policy type {policy.type} is not enabled in the organization's root."
            raise AWSError("PolicyTypeNotEnabledException", message)
        attach(self, **given)

    def checked(self: Any, **given: Any) -> Any:
        if given["Type"] == _RCP:
            _check(given["Content"])
        return create_policy(self, **given)

    def update_policy(self: Any, **given: Any) -> Any:
        if given.get("Content") and self.get_policy_by_id(given["PolicyId"]).type == _RCP:
            _check(given["Content"])
        return update(self, **given)

    OrganizationsBackend.attach_policy = attach_policy  # type: ignore[method-assign]
    OrganizationsBackend.create_policy = checked  # type: ignore[method-assign]
    OrganizationsBackend.update_policy = update_policy  # type: ignore[method-assign]
    OrganizationsBackend.create_account = create_account  # type: ignore[method-assign]
    OrganizationsBackend.create_organization = create_organization  # type: ignore[method-assign]


def _check(text: str) -> None:
    """Refuse what is no resource control policy: it denies everyone actions of some services.

    Raises:
        AWSError: MalformedPolicyDocumentException.
    """
    try:
        documents.check(text, documents.Kind.RESOURCE)
        good = all(map(_is_of_an_rcp, documents.statements(json.loads(text))))
    except documents.NotOfTheGrammar:
        good = False
    if not good:
        raise AWSError(
            "MalformedPolicyDocumentException",
            "The provided policy document does not meet the requirements of the specified policy type.",
        )


def _is_of_an_rcp(statement: dict[str, Any]) -> bool:
    actions = statement.get("Action", [])
    listed = actions if isinstance(actions, list) else [actions]
    return (
        statement["Effect"] == "Deny"
        and statement.get("Principal") == "*"
        and bool(listed)
        and all(one.partition(":")[0] in _WITH_RCPS for one in listed)
    )
