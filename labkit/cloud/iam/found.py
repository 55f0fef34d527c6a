"""What is behind the names in a request: the `find` that `asked` takes, of the lab's own state.

A kind that there is nothing of gives None, whatever the name. The kinds of a service that is ours are put
into `kinds` by that service when it is loaded: before, it keeps nothing.

AWS page: "Actions, resources, and condition keys for AWS services" (Service Authorization Reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException

from labkit.cloud.iam import managed_keys, organization, state
from labkit.cloud.iam.asked.expressions import Find
from labkit.cloud.shared.identity import Principal

_KEY_ID = 36  # the bytes of a ciphertext of moto's that name its key

# of our services: kind -> what is behind a name, in an account and Region
kinds: dict[str, Callable[[str, str, Any], Any]] = {}


def finder(principal: Principal, region: str) -> Find:
    """What is behind the names that a principal's request has, in a Region.

    Returns:
        `find(kind, name)`, whose kinds are those of `asked.rows`; it never raises.
    """
    at = _Place(principal, region)

    def find(kind: str, name: Any) -> Any:
        if not isinstance(name, bytes if kind == "kms:ciphertext" else str):
            return None  # what is of the wrong type the service refuses
        if kind in kinds:
            return kinds[kind](principal.account_id, region, name)
        return _KINDS[kind](at, name) if kind in _KINDS else None

    return find


@dataclass(frozen=True)
class _Place:
    """Where a request is made."""

    principal: Principal
    region: str

    def backend(self, service: str, arn: str = "") -> Any:
        """What is kept of a service here, or where an ARN says."""
        elsewhere = state.parsed(arn)
        if elsewhere is None:
            return state.backend(service, self.principal.account_id, self.region)
        return state.backend(service, elsewhere.account_id, elsewhere.region)

    def kept(self, service: str, attribute: str, arn: str = "") -> Any:
        """What a service keeps by its names, or ids."""
        return getattr(self.backend(service, arn), attribute, {})

    def all(self, service: str, attribute: str) -> list[Any]:
        return list(self.kept(service, attribute).values())


def _first(found: Iterable[Any], attribute: str = "arn") -> Any:
    return next((getattr(one, attribute) for one in found), None)


def _arn(thing: Any) -> Any:
    return None if thing is None else thing.arn


# Auto Scaling and CloudFormation


def _group(at: _Place, name: str) -> Any:
    return _arn(at.kept("autoscaling", "autoscaling_groups").get(name))


def _group_of_instance(at: _Place, instance_id: str) -> Any:
    groups = at.all("autoscaling", "autoscaling_groups")
    return _first(one for one in groups if instance_id in _instances(one))


def _instances(group: Any) -> list[str]:
    return [one.instance.id for one in list(group.instance_states)]


def _stack_of_change_set(at: _Place, arn: str) -> Any:
    known = at.kept("cloudformation", "change_sets").get(arn)
    return None if known is None else known.stack_id


def _stack_of_resource(at: _Place, physical_id: str) -> Any:
    stacks = at.all("cloudformation", "stacks")
    return _first((one for one in stacks if physical_id in _physical_ids(one)), "stack_id")


def _physical_ids(stack: Any) -> Iterator[Any]:
    # those that are made: moto's map makes the others when it is read
    for resource in list(stack.resource_map._parsed_resources.values()):
        yield getattr(resource, "physical_resource_id", None)


# EC2


def _launch_template(at: _Place, name: str) -> Any:
    return at.kept("ec2", "launch_template_name_to_ids").get(name)


def _launch_template_roles(at: _Place, named: str) -> list[str] | None:
    """Args: named: id or name, `:`, and the version as the request has it."""
    template, _, version = named.rpartition(":")
    template_id = _launch_template(at, template) or template
    known = at.kept("ec2", "launch_templates").get(template_id)
    try:
        profile = known and known.get_version(version).data.get("IamInstanceProfile")
    except (ServiceException, ValueError):
        return None
    return _profile_roles(at, profile.get("Arn") or profile.get("Name") or "") if profile else None


def _instance_of_association(at: _Place, association_id: str) -> Any:
    known = at.all("ec2", "iam_instance_profile_associations")
    return _first((one for one in known if one.association_id == association_id), "instance_id")


def _route_table(at: _Place, association_id: str) -> Any:
    known = at.all("ec2", "route_tables")
    return _first((one for one in known if association_id in one.all_associations_ids), "id")


def _security_group(at: _Place, name: str) -> Any:
    # of the default VPC, if it has one of that name: it is the first
    known = (group for vpc in at.all("ec2", "groups") for group in list(vpc.values()))
    return _first((one for one in known if one.name == name), "id")


def _key_pair(at: _Place, key_pair_id: str) -> Any:
    known = at.all("ec2", "key_pairs")
    return _first((one for one in known if one.id == key_pair_id), "key_name")


# ECS


def _task_definition(at: _Place, named: str) -> Any:
    """Args: named: ARN, `family:revision`, or a family, of which the newest is meant."""
    backend = at.backend("ecs")
    try:
        return backend and backend.describe_task_definition(named)
    except (ServiceException, ValueError):
        return None


def _task_definition_roles(at: _Place, named: str) -> list[str] | None:
    known = _task_definition(at, named)
    if known is None:
        return None
    roles = (getattr(known, name, None) for name in ("task_role_arn", "execution_role_arn"))
    return [role for role in roles if role]


# IAM


def _user(at: _Place, name: str) -> Any:
    return state.user(at.principal.account_id, name)


def _owner_of_key(at: _Place, access_key_id: str) -> Any | None:
    users = list(at.kept("iam", "users").values())
    keys = ((user, key) for user in users for key in user.access_keys)
    return next((user for user, key in keys if key.access_key_id == access_key_id), None)


def _role(at: _Place, name: str) -> Any:
    return state.role(at.principal.account_id, name)


def _profile(at: _Place, name_or_arn: str) -> Any:
    return at.kept("iam", "instance_profiles", name_or_arn).get(name_or_arn.rpartition("/")[2])


def _profile_roles(at: _Place, name_or_arn: str) -> list[str] | None:
    known = _profile(at, name_or_arn)
    return None if known is None else [role.arn for role in list(known.roles)]


def _boundary(thing: Any) -> Any:
    return getattr(thing, "permissions_boundary_arn", None)  # moto's users have none


def _caller(at: _Place, kind: str) -> str | None:
    arn = at.principal.arn
    if kind != "user" or ":user/" not in arn:
        return None
    return _arn(_user(at, arn.rpartition("/")[2])) or arn


# KMS, and what is encrypted


def _key(at: _Place, named: str) -> Any:
    """Args: named: id, ARN, or an alias as `alias/NAME` or by its ARN."""
    arn = state.parsed(named)
    resource = arn.resource if arn else named
    if managed := _managed(at, arn, resource):
        return managed
    for place in (named, ""):  # moto does not look whose the ARN is
        keys = at.kept("kms", "keys", place)
        if (known := keys.get(resource.removeprefix("key/"))) is not None:
            return _arn(known)
        if arn_found := _first(one for one in list(keys.values()) if resource in one.aliases):
            return arn_found
    return None


def _managed(at: _Place, arn: state.Arn | None, resource: str) -> str | None:
    """The ARN of a key that AWS manages in an account, if that is what was named."""
    key_id = managed_keys.KEYS.get(resource, resource.removeprefix("key/"))
    if key_id not in managed_keys.KEYS.values():
        return None
    region, account_id = (
        (arn.region, arn.account_id) if arn else (at.region, at.principal.account_id)
    )
    return f"arn:aws:kms:{region}:{account_id}:key/{key_id}"


def _used(at: _Place, named: str, region: str = "", account_id: str = "") -> str:
    """The ARN of a key that something is encrypted with, whether it is there or not.

    Args:
        region, account_id: where an id or an alias is looked for; here, if not given.
    """
    region, account_id = region or at.region, account_id or at.principal.account_id
    if not state.parsed(named):
        resource = named if named.startswith("alias/") else f"key/{named}"
        named = f"arn:aws:kms:{region}:{account_id}:{resource}"
    return str(_key(at, named) or named)


def _key_of_ciphertext(at: _Place, blob: bytes) -> Any:
    key_id = blob[:_KEY_ID].decode(errors="replace")
    known = (one.keys.get(key_id) for one in state.everywhere("kms"))
    return _first(key for key in known if key and key.region == at.region)


def _upload(at: _Place, upload_id: str) -> dict[str, str] | None:
    for one in state.everywhere("s3"):
        for bucket in list(one.buckets.values()):
            if (known := bucket.multiparts.get(upload_id)) is not None:
                given = {
                    "ACL": getattr(known.acl, "canned", None),
                    "ServerSideEncryption": known.sse_encryption,
                    "SSEKMSKeyId": known.kms_key_id,
                    # which is moto's word for none
                    "StorageClass": known.storage if known.storage != "STANDARD" else None,
                }
                return {name: value for name, value in given.items() if value}
    return None


def _encrypts_with(at: _Place, named: str) -> str | None:
    """Args: named: bucket, algorithm and key as a request says them, the last two perhaps empty."""
    if named.count(" ") < 2:
        return None
    bucket, algorithm, key = named.split(" ", 2)
    backend = state.of_bucket(bucket)
    default = default_encryption(backend.buckets[bucket]) if backend else {}
    if not algorithm:
        algorithm, key = default.get("SSEAlgorithm", ""), default.get("KMSMasterKeyID") or key
    if not algorithm.startswith("aws:kms"):
        return None
    return _used(at, key or "alias/aws/s3")


def default_encryption(bucket: Any) -> dict[str, str]:
    """What a bucket encrypts with, if a request says nothing of it: `SSEAlgorithm`, `KMSMasterKeyID`."""
    rule = (bucket.encryption or {}).get("Rule") or {}
    rules = rule if isinstance(rule, list) else [rule]
    return dict(rules[0].get("ApplyServerSideEncryptionByDefault") or {}) if rules else {}


def _encrypted_with(at: _Place, named: str) -> str | None:
    """Args: named: bucket, version and key of an object; the version may be empty."""
    if named.count(" ") < 2:
        return None
    bucket, version, name = named.split(" ", 2)
    backend = state.of_bucket(bucket)
    known = backend.buckets[bucket].keys.getlist(name, []) if backend else []
    found = [one for one in known if not version or one.version_id == version]
    newest = found[-1] if found else None
    algorithm = getattr(newest, "encryption", None) or ""  # a delete marker has none
    return getattr(newest, "kms_key_id", None) if algorithm.startswith("aws:kms") else None


def _secret(at: _Place, named: str) -> Any:
    """Args: named: name, ARN, or an ARN without its random ending."""
    for place in (named, ""):  # moto does not look whose the ARN is
        known = at.kept("secretsmanager", "secrets", place).get(named)
        if known is not None:
            return _arn(known)
    return None


def _key_of_secret(at: _Place, named: str) -> str | None:
    for place in (named, ""):
        known = at.kept("secretsmanager", "secrets", place).get(named)
        if known is not None:
            arn = state.parsed(known.arn)
            key = known.kms_key_id or "alias/aws/secretsmanager"
            return _used(at, key, arn.region, arn.account_id) if arn else None
    return None


def _key_of_queue(at: _Place, url: str) -> str | None:
    account_id, name = url.split("/")[-2:] if url.count("/") > 1 else ("", url)
    known = getattr(state.backend("sqs", account_id, at.region), "queues", {}).get(name)
    key = getattr(known, "kms_master_key_id", None)
    return _used(at, key, at.region, account_id) if key else None


def _key_of_topic(at: _Place, text: str) -> str | None:
    arn = state.parsed(text)
    known = state.kept(arn, "topics").get(text) if arn else None
    key = getattr(known, "kms_master_key_id", None)
    return _used(at, key, arn.region, arn.account_id) if arn and key else None


def _policy_type(at: _Place, policy_id: str) -> Any:
    found = organization.of(at.principal.account_id)
    return _first((one for one in found.policies if one.id == policy_id), "type") if found else None


_KINDS: dict[str, Callable[[_Place, Any], Any]] = {
    "autoscaling:group": _group,
    "autoscaling:instance-group": _group_of_instance,
    "cloudformation:change-set": _stack_of_change_set,
    "cloudformation:physical": _stack_of_resource,
    "ec2:association": _instance_of_association,
    "ec2:key-pair": _key_pair,
    "ec2:launch-template": _launch_template,
    "ec2:launch-template-roles": _launch_template_roles,
    "ec2:route-table": _route_table,
    "ec2:security-group": _security_group,
    "ecs:task-definition": lambda at, name: _arn(_task_definition(at, name)),
    "ecs:task-definition-roles": _task_definition_roles,
    "iam:access-key": lambda at, name: _arn(_owner_of_key(at, name)),
    "iam:caller": _caller,
    "iam:group": lambda at, name: _arn(at.kept("iam", "groups").get(name)),
    "iam:instance-profile": lambda at, name: _arn(_profile(at, name)),
    "iam:instance-profile-roles": _profile_roles,
    "iam:role": lambda at, name: _arn(_role(at, name)),
    "iam:role-boundary": lambda at, name: _boundary(_role(at, name)),
    "iam:user": lambda at, name: _arn(_user(at, name)),
    "iam:user-boundary": lambda at, name: _boundary(_user(at, name)),
    "kms:ciphertext": _key_of_ciphertext,
    "kms:key": _key,
    "organizations:id": lambda at, name: organization.arn_of(at.principal.account_id, name),
    "organizations:policy-type": _policy_type,
    "s3:encrypted-with": _encrypted_with,
    "s3:encrypts-with": _encrypts_with,
    "s3:upload": _upload,
    "secretsmanager:key": _key_of_secret,
    "secretsmanager:secret": _secret,
    "sns:key": _key_of_topic,
    "sqs:key": _key_of_queue,
}
