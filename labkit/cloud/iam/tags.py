"""The tags of a resource, for `aws:ResourceTag`, `ec2:ResourceTag`, `s3:ExistingObjectTag` and their like.

By its ARN, as `asked` gives it. A service that is ours puts itself into `ours` when it is loaded.

AWS page: "Controlling access to AWS resources using tags" (IAM User Guide).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.cloud.iam import state
from labkit.cloud.iam.asked.expressions import pairs
from labkit.cloud.iam.state import Arn

# of our services, by what their ARNs say: a resource -> its tags, in any form
ours: dict[str, Callable[[Arn], Any]] = {}


def tags_of(arn: str) -> dict[str, str] | None:
    """The tags of a resource; None where the lab knows of none under its ARN."""
    found = state.parsed(arn)
    look = None if found is None else _TAGS.get(found.service) or ours.get(found.service)
    if found is None or look is None:
        return None
    return _plain(look(found))


def object_tags(bucket: str, key: str, version: str | None = None) -> dict[str, str] | None:
    """The tags of an object in S3, or of one version of it; None if there is no such object."""
    backend = state.of_bucket(bucket)
    holder = None if backend is None else backend.buckets.get(bucket)
    if backend is None or holder is None:
        return None
    versions = list(holder.keys.getlist(key, default=[]))
    wanted = [one for one in versions if version is None or str(one.version_id) == version]
    known = getattr(wanted[-1], "arn", None) if wanted else None  # a delete marker has none
    return None if known is None else _plain(backend.tagger.tags.get(known, {}))


def _plain(found: Any) -> dict[str, str] | None:
    if found is None:
        return None
    if isinstance(found, Mapping):
        return {key: value or "" for key, value in found.items()}
    return dict(pairs(found))


def _tagger(attribute: str = "tagger") -> Callable[[Arn], Any]:
    """Of a service that keeps its tags by ARN."""
    return lambda arn: getattr(state.kept(arn, attribute), "tags", {}).get(arn.text)


def _tags_in_iam(arn: Arn) -> Any:
    name = arn.rest.rpartition("/")[2]
    match arn.kind:
        case "role":
            return getattr(state.role(arn.account_id, name), "tags", None)
        case "user":
            return _tagger()(arn)
        case "policy":
            known = state.kept(arn, "managed_policies").get(arn.text)
        case "instance-profile":
            known = state.kept(arn, "instance_profiles").get(name)
        case _:
            return None
    found = getattr(known, "tags", None)
    return list(found.values()) if isinstance(found, Mapping) else found


def _tags_in_ec2(arn: Arn) -> Any:
    accounts = [state.at(arn)] if arn.account_id else list(state.everywhere("ec2"))  # an image
    for backend in accounts:
        resource_id = arn.rest
        if arn.kind == "key-pair":
            resource_id = getattr(getattr(backend, "key_pairs", {}).get(arn.rest), "id", "")
        if found := getattr(backend, "tags", {}).get(resource_id):
            return dict(found)
    return None


def _tags_in_ecs(arn: Arn) -> Any:
    cluster, _, name = arn.rest.partition("/")
    match arn.kind:
        case "cluster":
            known = state.kept(arn, "clusters").get(cluster)
        case "service":
            known = state.kept(arn, "services").get(f"{cluster}:{name}")
        case "task":
            known = state.kept(arn, "tasks").get(cluster, {}).get(arn.text)
        case "task-definition":
            family, _, revision = arn.rest.partition(":")
            revisions = list(state.kept(arn, "task_definitions").get(family, {}).values())
            known = next((one for one in revisions if str(one.revision) == revision), None)
        case _:
            return None
    return getattr(known, "tags", None)


def _tags_in_kms(arn: Arn) -> Any:
    return getattr(state.kept(arn, "tagger"), "tags", {}).get(arn.rest)


def _tags_in_lambda(arn: Arn) -> Any:
    return next((one.tags for one in state.functions(arn)), None)


def _tags_in_logs(arn: Arn) -> Any:
    """Of a log group, however its ARN ends; its streams cannot have tags of their own."""
    name = arn.after("log-group:").partition(":log-stream:")[0]
    group = state.kept(arn, "groups").get(name.removesuffix(":*"))
    if group is None:
        return None
    return getattr(state.kept(arn, "tagger"), "tags", {}).get(group.arn, {})


def _tags_in_s3(arn: Arn) -> Any:
    backend = None if arn.rest else state.of_bucket(arn.kind)
    return None if backend is None else backend.tagger.tags.get(arn.text, {})


def _tags_in_secrets(arn: Arn) -> Any:
    secret = state.kept(arn, "secrets").get(arn.text)
    return None if secret is None else secret.tags or []


def _tags_in_ssm(arn: Arn) -> Any:
    known = state.kept(arn, "_resource_tags").get("Parameter", {})
    return known.get(f"/{arn.rest}") or known.get(arn.rest)


def _tags_in_stacks(arn: Arn) -> Any:
    """Args: arn: of a stack, or with `*` in the place of its id."""
    name, _, stack_id = arn.rest.partition("/")
    stacks = state.kept(arn, "stacks")
    if stack_id == "*":
        return next((one.tags for one in list(stacks.values()) if one.name == name), None)
    return getattr(stacks.get(arn.text), "tags", None)


def _tags_in_auto_scaling(arn: Arn) -> Any:
    name = arn.resource.partition("autoScalingGroupName/")[2]
    return getattr(state.kept(arn, "autoscaling_groups").get(name), "tags", None)


_TAGS: dict[str, Callable[[Arn], Any]] = {
    "autoscaling": _tags_in_auto_scaling,
    "cloudformation": _tags_in_stacks,
    "cloudwatch": _tagger(),
    "ec2": _tags_in_ec2,
    "ecr": _tagger(),
    "ecs": _tags_in_ecs,
    "elasticloadbalancing": _tagger("tagging_service"),
    "events": _tagger(),
    "iam": _tags_in_iam,
    "kms": _tags_in_kms,
    "lambda": _tags_in_lambda,
    "logs": _tags_in_logs,
    "s3": _tags_in_s3,
    "secretsmanager": _tags_in_secrets,
    "sns": lambda arn: getattr(state.kept(arn, "topics").get(arn.text), "_tags", None),
    "sqs": lambda arn: getattr(state.kept(arn, "queues").get(arn.resource), "tags", None),
    "ssm": _tags_in_ssm,
    "states": _tagger(),
}
