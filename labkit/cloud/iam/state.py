"""What the lab keeps, as IAM looks at it: looking makes nothing and imports nothing.

A service that nobody has asked for yet is not imported, and keeps nothing then; moto makes an account's
backend when it is first asked for, and an account that has none keeps nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from labkit.cloud.shared.identity import Principal

# where moto keeps a service, by what its ARNs say, unless it is in `moto.SERVICE.models.SERVICE_backends`
_PLACES = {
    "elasticloadbalancing": ("moto.elbv2.models", "elbv2_backends"),
    "lambda": ("moto.awslambda.models", "lambda_backends"),
    # of moto's two, the one that runs state machines
    "states": ("moto.stepfunctions.parser.models", "stepfunctions_parser_backends"),
}
_GLOBAL = {"iam", "organizations", "s3", "sts"}


@dataclass(frozen=True)
class Arn:
    """An ARN in its parts; region and account are empty where it names none."""

    text: str
    service: str
    region: str
    account_id: str
    resource: str  # `role/teams/deployer`, `function:hook:live`

    @property
    def kind(self) -> str:
        return self.resource.partition("/")[0]

    @property
    def rest(self) -> str:
        """What follows the kind."""
        return self.resource.partition("/")[2]

    def after(self, kind: str) -> str:
        """What follows a kind that ends with a colon; empty if the resource is of another."""
        return self.resource.removeprefix(kind) if self.resource.startswith(kind) else ""


def parsed(text: str) -> Arn | None:
    """The parts of an ARN, or None of what is none, such as `*`."""
    parts = text.split(":", 5)
    return Arn(text, *parts[2:]) if len(parts) == 6 and parts[0] == "arn" else None


def backend(service: str, account_id: str, region: str) -> Any | None:
    """What moto keeps of a service, by what its ARNs say, in an account and Region."""
    return among(backends(service), account_id, "aws" if service in _GLOBAL else region)


def everywhere(service: str) -> Iterator[Any]:
    """What moto keeps of a service in every account and Region."""
    for regions in list(backends(service).values()):
        yield from list(regions.values())


def among(backends: Mapping[str, Mapping[str, Any]], account_id: str, region: str) -> Any | None:
    """The backend of an account and Region among a service's, which asking does not make."""
    regions = backends.get(account_id)
    return None if regions is None else regions.get(region)


def at(arn: Arn) -> Any | None:
    """What moto keeps of a service where an ARN says."""
    return backend(arn.service, arn.account_id, arn.region)


def kept(arn: Arn, attribute: str) -> Any:
    """What a service keeps there by its names."""
    return getattr(at(arn), attribute, {})


def user(account_id: str, name: str) -> Any | None:
    """The user of that name."""
    return getattr(backend("iam", account_id, ""), "users", {}).get(name)


def role(account_id: str, name: str) -> Any | None:
    """The role of that name; moto keeps them by their ids."""
    known = getattr(backend("iam", account_id, ""), "roles", {})
    return next((one for one in list(known.values()) if one.name == name), None)


def identity(principal: Principal) -> Any | None:
    """The user who asks, or the role whose session asks; None of a service, or if it is gone."""
    look, arn = (role, principal.role_arn) if principal.role_arn else (user, principal.arn)
    return look(principal.account_id, arn.rpartition("/")[2])


def of_bucket(name: str) -> Any | None:
    """What S3 keeps where a bucket is: in any account, as its name is nobody else's."""
    return next((one for one in everywhere("s3") if name in one.buckets), None)


def functions(arn: Arn) -> list[Any]:
    """A Lambda function and its versions, by the ARN of any of them."""
    name = arn.after("function:").partition(":")[0]
    known = getattr(kept(arn, "_lambdas"), "_functions", {}).get(name)
    return [] if known is None else [one for one in (known["latest"], *known["versions"]) if one]


def backends(service: str) -> Mapping[str, Mapping[str, Any]]:
    """What moto keeps of a service, by account and Region."""
    module, name = _place(service)
    return getattr(sys.modules.get(module), name, {})


@cache
def _place(service: str) -> tuple[str, str]:
    return _PLACES.get(service, (f"moto.{service}.models", f"{service}_backends"))
