"""The one organization of a lab, and accounts in it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import uuid4

from tests.conftest import Aws

ROLE = "OrganizationAccountAccessRole"


def create(aws: Aws) -> Any:
    """A client of Organizations, once there is an organization."""
    organizations = aws.client("organizations")
    with suppress(organizations.exceptions.AlreadyInOrganizationException):
        organizations.create_organization(FeatureSet="ALL")
    return organizations


def account(aws: Aws) -> str:
    """The twelve digits of a new member account."""
    name = f"member-{uuid4().hex[:8]}"
    made = create(aws).create_account(AccountName=name, Email=f"{name}@example.com")
    return str(made["CreateAccountStatus"]["AccountId"])
