"""On-premises instances: machines that are registered with CodeDeploy, and are hosts like any other.

Registering a machine switches it on, with its agent, and deregistering switches it off: there is
nothing else in the lab that could. Its agent signs with what `codedeploy.onpremises.yml` would hold:
an active access key of the IAM user, or the newest credentials of the IAM session. The port of its
site is its tag `labkit:port`.

AWS pages: "Working with on-premises instances for CodeDeploy"; "RegisterOnPremisesInstance",
"AddTagsToOnPremisesInstances" in the CodeDeploy API Reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from labkit.cloud.codedeploy.models import CodeDeployBackend, Fields, now
from labkit.cloud.compute import hosts
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.service import AWSError


@dataclass
class OnPremisesInstance:
    """A machine that is registered, or was."""

    name: str
    arn: str
    port: int
    user_arn: str | None
    session_arn: str | None
    registered: datetime = field(default_factory=now)
    deregistered: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def fields(self) -> Fields:
        shown = {
            "instanceName": self.name,
            "iamUserArn": self.user_arn,
            "iamSessionArn": self.session_arn,
            "instanceArn": self.arn,
            "registerTime": self.registered,
            "deregisterTime": self.deregistered,
            "tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }
        return {key: value for key, value in shown.items() if value is not None}


@dataclass(frozen=True)
class OnPremisesHost(hosts.Host):
    """A registered machine as the agent on it sees it."""

    instance: OnPremisesInstance

    @property
    def directory(self) -> str:
        return self.instance.arn.rpartition("/")[2]

    @property
    def arn(self) -> str:
        return self.instance.arn

    @property
    def runs(self) -> bool:
        return self.instance.deregistered is None

    @property
    def tags(self) -> dict[str, str]:
        return self.instance.tags

    def session(self) -> Session:
        """What the machine's codedeploy.onpremises.yml holds.

        Raises:
            hosts.HostError: the IAM user has no active access key, or the session no credentials.
        """
        key = self._session_key() if self.instance.session_arn else self._user_key()
        if key is None:
            raise hosts.HostError(
                "Missing credentials - please check if this instance was started with an IAM "
                "instance profile, or has the credentials of "
                f"{self.instance.session_arn or self.instance.user_arn}"
            )
        token = getattr(key, "session_token", None)
        return Session(key.access_key_id, key.secret_access_key, token, self.region)

    def _user_key(self) -> Any:
        user = (self.instance.user_arn or "").rpartition("/")[2]
        found = iam_backends[self.account_id]["aws"].users.get(user)
        keys = found.access_keys if found else []
        return next((key for key in keys if key.status == "Active"), None)

    def _session_key(self) -> Any:
        taken = sts_backends[self.account_id]["aws"].assumed_roles
        return next(
            (role for role in reversed(taken) if role.arn == self.instance.session_arn), None
        )


def find(backend: CodeDeployBackend, name: str) -> OnPremisesHost | None:
    """The machine of a registered instance, or None."""
    instance = backend.on_premises.get(name)
    if instance is None or instance.deregistered:
        return None
    return OnPremisesHost(
        name, backend.region_name, backend.account_id, instance.port, None, instance
    )


def tagged(backend: CodeDeployBackend, declared: Fields) -> list[str]:
    """The names of the registered instances that a deployment group's tags find."""
    groups = tag_groups(declared)
    return [
        one.name
        for one in backend.on_premises.values()
        if groups and not one.deregistered and all(matches_any(one, filters) for filters in groups)
    ]


def tag_groups(declared: Fields) -> list[list[dict[str, str]]]:
    """Lists of tag filters: any of a list has to match, and every list."""
    if declared.get("onPremisesTagSet"):
        return declared["onPremisesTagSet"].get("onPremisesTagSetList") or []
    filters = declared.get("onPremisesInstanceTagFilters")
    return [filters] if filters else []


def matches_any(instance: OnPremisesInstance, filters: list[dict[str, str]]) -> bool:
    """Whether one of the tag filters is met."""
    return any(_matches(instance, tag) for tag in filters)


def _matches(instance: OnPremisesInstance, tag: dict[str, str]) -> bool:
    key, value = tag.get("Key"), tag.get("Value") or ""
    match tag.get("Type", "KEY_AND_VALUE"):
        case "KEY_ONLY":
            return key in instance.tags
        case "VALUE_ONLY":
            return value in instance.tags.values()
        case _:
            return instance.tags.get(key or "") == value


def check_filter(tag: dict[str, str], code: str) -> None:
    """Raises AWSError: a tag filter without what its Type needs."""
    needed = "Value" if tag.get("Type") == "VALUE_ONLY" else "Key"
    if not tag.get(needed):
        raise AWSError(code, f"The tag filter {tag} has no {needed}")
