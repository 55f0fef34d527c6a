"""Whom the Principal and NotPrincipal of a resource's policy name, and how directly.

AWS pages: "AWS JSON policy elements: Principal"; "AWS JSON policy elements: NotPrincipal".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from labkit.cloud.iam.patterns import Malformed

ANONYMOUS = "anonymous"
_ACCOUNT = re.compile(r"(?:arn:[^:]+:iam::)?(\d{12})(?::root)?")


class Named(IntEnum):
    """How a statement names who asks: each bypasses more of the caller's own policies."""

    NOT = 0
    ACCOUNT = 1  # leaves it to the policies of the account
    ISSUER = 2  # the role or user whose session this is
    ITSELF = 3  # the user, the session, the service, or everyone


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        arn: as GetCallerIdentity says it; a service's own name; `anonymous`.
        account_id: where its identity is; empty for who has none.
        issuer: the ARN of the role or user whose session this is (CloudTrail's `sessionIssuer`).
        services: the names of an AWS service that asks for itself, as `aws:PrincipalServiceNamesList`
            has them: `codedeploy.amazonaws.com`, `codedeploy.us-east-1.amazonaws.com`.
        provider: the identity provider that vouches for who has no identity here yet, such as
            `arn:aws:iam::123456789012:saml-provider/corp`.
        canonical_id: of the account, as S3 knows it.
    """

    arn: str
    account_id: str
    issuer: str | None = None
    services: tuple[str, ...] = ()
    provider: str | None = None
    canonical_id: str | None = None

    @cached_property
    def account(self) -> str:
        return f"arn:aws:iam::{self.account_id}:root"

    @property
    def is_root(self) -> bool:
        return self.arn == self.account

    @property
    def has_identity(self) -> bool:
        """Whether policies can be attached to it: a service, or who is anonymous, has none."""
        return not self.services and self.provider is None and self.arn != ANONYMOUS

    @property
    def is_federated_user(self) -> bool:
        return ":federated-user/" in self.arn


@dataclass(frozen=True)
class Principals:
    """The names in a Principal element, by their kinds."""

    everyone: bool
    aws: frozenset[str]
    services: frozenset[str]
    federated: frozenset[str]
    canonical: frozenset[str]

    def name(self, caller: Caller) -> Named:
        if self.everyone or self._names_itself(caller):
            return Named.ITSELF
        if caller.issuer in self.aws:
            return Named.ISSUER
        return Named.ACCOUNT if self._names_account(caller) else Named.NOT

    def except_for(self, caller: Caller) -> bool:
        """Whether a NotPrincipal spares the caller: it has to name the account and the role, too."""
        if self.everyone:
            return True
        if not caller.has_identity:
            return self._names_itself(caller)
        chain = {caller.account, caller.issuer or caller.account, caller.arn}
        return chain <= self.aws

    def names_any(self, caller: Caller) -> bool:
        return self.name(caller) is not Named.NOT

    def _names_itself(self, caller: Caller) -> bool:
        if caller.services:
            return not self.services.isdisjoint(caller.services)
        if caller.provider:
            return caller.provider in self.federated
        return caller.arn in self.aws

    def _names_account(self, caller: Caller) -> bool:
        return caller.has_identity and (
            caller.account in self.aws or caller.canonical_id in self.canonical
        )


def principals(element: Any) -> Principals:
    """Read a Principal or NotPrincipal element.

    Raises:
        Malformed: it is no object of lists of names, or of a kind that there is not.
    """
    if isinstance(element, str):
        element = {"AWS": element}
    if not isinstance(element, dict) or not element.keys() <= _KINDS:
        raise Malformed("Principal")
    kinds = {kind: frozenset(_names(element.get(kind, []))) for kind in _KINDS}
    accounts = (_ACCOUNT.fullmatch(name) for name in kinds["AWS"])
    aws = kinds["AWS"] | {f"arn:aws:iam::{found[1]}:root" for found in accounts if found}
    return Principals("*" in aws, aws, kinds["Service"], kinds["Federated"], kinds["CanonicalUser"])


_KINDS = {"AWS", "Service", "Federated", "CanonicalUser"}


def _names(value: Any) -> list[str]:
    names = value if isinstance(value, list) else [value]
    if any(isinstance(name, bool) or not isinstance(name, (str, int)) for name in names):
        raise Malformed("Principal")
    return [str(name) for name in names]
