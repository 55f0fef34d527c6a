"""The operations on on-premises instances.

AWS pages: "RegisterOnPremisesInstance", "AddTagsToOnPremisesInstances" and their neighbours in the
CodeDeploy API Reference.
"""

from __future__ import annotations

import re
import secrets
import string

from moto.iam.models import iam_backends

from labkit.cloud.codedeploy.models import Fields, codedeploy_backends, now
from labkit.cloud.codedeploy.onpremises import OnPremisesInstance, check_filter, find, matches_any
from labkit.cloud.compute import hosts
from labkit.cloud.guests.processes import free_port
from labkit.cloud.shared.service import AWSError, Service, page

_NAME = re.compile(r"(?!i-)[A-Za-z0-9+=,.@_-]{1,100}")
_USER = re.compile(r"arn:aws:iam::\d{12}:user/[\w/+=,.@-]+", re.ASCII)
_SESSION = re.compile(r"arn:aws:sts::\d{12}:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+", re.ASCII)
_MOST_TAGS, _LONGEST_KEY, _LONGEST_VALUE = 10, 128, 256
_MOST_NAMES = 100


class OnPremises(Service):
    """The operations on on-premises instances."""

    @property
    def _instances(self) -> dict[str, OnPremisesInstance]:
        return codedeploy_backends[self.current_account][self.region].on_premises

    def register_on_premises_instance(
        self, instanceName: str, iamSessionArn: str | None = None, iamUserArn: str | None = None
    ) -> Fields:
        _check_name(instanceName)
        if iamSessionArn and iamUserArn:
            raise AWSError(
                "MultipleIamArnsProvidedException",
                "Both an IAM user ARN and an IAM session ARN were given; use one of them",
            )
        if not iamSessionArn and not iamUserArn:
            raise AWSError("IamArnRequiredException", "IAM ARN is missing")
        known = self._instances.get(instanceName)
        if known and not known.deregistered:
            raise AWSError(
                "InstanceNameAlreadyRegisteredException",
                f"The on-premises instance {instanceName} is already registered",
            )
        self._check_arn(iamUserArn, iamSessionArn)
        arn = self.arn(f"instance/{instanceName}_{self._random()}")
        made = OnPremisesInstance(instanceName, arn, free_port(), iamUserArn, iamSessionArn)
        made.tags[hosts.PORT_TAG] = str(made.port)
        self._instances[instanceName] = made
        return {}

    def deregister_on_premises_instance(self, instanceName: str) -> Fields:
        _check_name(instanceName)
        backend = codedeploy_backends[self.current_account][self.region]
        host = find(backend, instanceName)
        if host is not None:
            host.instance.deregistered = now()
            host.instance.tags.clear()
            hosts.remove(host)
        return {}

    def get_on_premises_instance(self, instanceName: str) -> Fields:
        return {"instanceInfo": self._named(instanceName).fields()}

    def batch_get_on_premises_instances(self, instanceNames: list[str]) -> Fields:
        _check_names(instanceNames, "BatchLimitExceededException")
        found = (self._instances.get(name) for name in instanceNames)
        return {"instanceInfos": [one.fields() for one in found if one]}

    def list_on_premises_instances(
        self,
        registrationStatus: str | None = None,
        tagFilters: list[dict[str, str]] | None = None,
        nextToken: str | None = None,
    ) -> Fields:
        for tag in tagFilters or []:
            check_filter(tag, "InvalidTagFilterException")
        found = [
            one.name
            for one in self._instances.values()
            if registrationStatus in (None, "Deregistered" if one.deregistered else "Registered")
            and (not tagFilters or matches_any(one, tagFilters))
        ]
        items, token = page(found, nextToken, None)
        return {"instanceNames": items, "nextToken": token}

    def add_tags_to_on_premises_instances(
        self, tags: list[dict[str, str]], instanceNames: list[str]
    ) -> Fields:
        found = self._for_tags(tags, instanceNames)
        added = {tag["Key"]: tag.get("Value") or "" for tag in tags}
        for instance in found:
            if len({*instance.tags, *added} - {hosts.PORT_TAG}) > _MOST_TAGS:
                raise AWSError(
                    "TagLimitExceededException",
                    f"The on-premises instance {instance.name} can have {_MOST_TAGS} tags at most",
                )
        for instance in found:
            instance.tags.update({k: v for k, v in added.items() if k != hosts.PORT_TAG})
        return {}

    def remove_tags_from_on_premises_instances(
        self, tags: list[dict[str, str]], instanceNames: list[str]
    ) -> Fields:
        for instance in self._for_tags(tags, instanceNames):
            for tag in tags:
                key, value = tag["Key"], tag.get("Value")
                if key != hosts.PORT_TAG and value in (None, "", instance.tags.get(key)):
                    instance.tags.pop(key, None)
        return {}

    def _for_tags(self, tags: list[dict[str, str]], names: list[str]) -> list[OnPremisesInstance]:
        if not tags:
            raise AWSError("TagRequiredException", "A tag was not specified")
        for tag in tags:
            if not tag.get("Key"):
                raise AWSError("InvalidTagException", f"The tag {tag} has no Key")
            if len(tag["Key"]) > _LONGEST_KEY or len(tag.get("Value") or "") > _LONGEST_VALUE:
                raise AWSError(
                    "InvalidTagException",
                    f"A tag's key has {_LONGEST_KEY} characters at most, its value {_LONGEST_VALUE}",
                )
        _check_names(names, "InstanceLimitExceededException")
        return [self._registered(name) for name in names]

    def _named(self, name: str) -> OnPremisesInstance:
        _check_name(name)
        if name not in self._instances:
            raise AWSError(
                "InstanceNotRegisteredException",
                f"The on-premises instance {name} is not registered",
            )
        return self._instances[name]

    def _registered(self, name: str) -> OnPremisesInstance:
        found = self._named(name)
        if found.deregistered:
            raise AWSError(
                "InstanceNotRegisteredException",
                f"The on-premises instance {name} is not registered",
            )
        return found

    def _check_arn(self, user: str | None, session: str | None) -> None:
        used = [one for one in self._instances.values() if not one.deregistered]
        if user:
            if not _USER.fullmatch(user) or not self._is_user(user):
                raise AWSError(
                    "InvalidIamUserArnException", f"Iam User ARN {user} is not in a valid format"
                )
            if any(one.user_arn == user for one in used):
                raise AWSError(
                    "IamUserArnAlreadyRegisteredException",
                    f"The IAM user ARN {user} is already registered with an on-premises instance",
                )
        if session:
            if not _SESSION.fullmatch(session):
                raise AWSError(
                    "InvalidIamSessionArnException",
                    f"Iam Session ARN {session} is not in a valid format",
                )
            if any(one.session_arn == session for one in used):
                raise AWSError(
                    "IamSessionArnAlreadyRegisteredException",
                    f"The IAM session ARN {session} is already registered with an on-premises "
                    "instance",
                )

    def _is_user(self, arn: str) -> bool:
        users = iam_backends[self.current_account]["aws"].users.values()
        return any(user.arn == arn for user in users)

    @staticmethod
    def _random() -> str:
        return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(10))


def _check_name(name: str) -> None:
    if not name:
        raise AWSError("InstanceNameRequiredException", "Instance name is missing")
    if not _NAME.fullmatch(name):
        raise AWSError(
            "InvalidInstanceNameException",
            f"The instance name {name} is not valid: up to 100 letters, digits and +=,.@_-, "
            "and not i- at the beginning",
        )


def _check_names(names: list[str], too_many: str) -> None:
    if not names:
        raise AWSError("InstanceNameRequiredException", "Instance name is missing")
    if len(names) > _MOST_NAMES:
        raise AWSError(too_many, f"{len(names)} instance names; {_MOST_NAMES} at most")
    for name in names:
        _check_name(name)
