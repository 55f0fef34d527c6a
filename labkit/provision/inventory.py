"""What is there: every kind of resource the pieces make, looked up by AWS's own lists.

Nothing here knows what was made; it asks. An empty list after a tear-down is therefore a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from labkit.lab import Lab
from labkit.provision import build, deploy, pipeline, roles
from labkit.provision.aws import found


def left_over(lab: Lab) -> list[str]:
    """Everything of this lab that AWS still has, one line each: "kind name"."""
    return [f"{kind} {name}" for kind, names in _KINDS.items() for name in names(lab)]


def _pipelines(lab: Lab) -> Iterator[str]:
    for page in lab.client("codepipeline").get_paginator("list_pipelines").paginate():
        yield from (item["name"] for item in page["pipelines"] if item["name"] == lab.pipeline)


def _rules(lab: Lab) -> Iterator[str]:
    wanted = pipeline.rule_name(lab)
    rules = lab.client("events").list_rules(NamePrefix=wanted)["Rules"]
    yield from (rule["Name"] for rule in rules if rule["Name"] == wanted)


def _applications(lab: Lab) -> Iterator[str]:
    for page in lab.client("codedeploy").get_paginator("list_applications").paginate():
        yield from (name for name in page["applications"] if name == lab.application)


def _instances(lab: Lab) -> Iterator[str]:
    yield from (instance["InstanceId"] for instance in deploy.instances(lab))


def _security_groups(lab: Lab) -> Iterator[str]:
    yield from deploy.security_groups(lab)


def _projects(lab: Lab) -> Iterator[str]:
    for page in lab.client("codebuild").get_paginator("list_projects").paginate():
        yield from (name for name in page["projects"] if name == lab.project)


def _log_groups(lab: Lab) -> Iterator[str]:
    wanted = build.log_group(lab)
    groups = lab.client("logs").describe_log_groups(logGroupNamePrefix=wanted)["logGroups"]
    yield from (group["logGroupName"] for group in groups if group["logGroupName"] == wanted)


def _buckets(lab: Lab) -> Iterator[str]:
    names = [bucket["Name"] for bucket in lab.client("s3").list_buckets()["Buckets"]]
    yield from (name for name in names if name == lab.bucket)


def _object_versions(lab: Lab) -> Iterator[str]:
    if lab.bucket not in _buckets(lab):
        return
    pages = lab.client("s3").get_paginator("list_object_versions").paginate(Bucket=lab.bucket)
    for page in pages:
        for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
            yield f"{version['Key']} ({version['VersionId']})"


def _instance_profiles(lab: Lab) -> Iterator[str]:
    name = lab.role("instance")
    if found(lab.client("iam").get_instance_profile, InstanceProfileName=name):
        yield name


def _roles(lab: Lab) -> Iterator[str]:
    ours = {lab.role(who) for who in roles.ROLES}
    for page in lab.client("iam").get_paginator("list_roles").paginate():
        yield from (role["RoleName"] for role in page["Roles"] if role["RoleName"] in ours)


def _repositories(lab: Lab) -> Iterator[str]:
    for page in lab.client("codecommit").get_paginator("list_repositories").paginate():
        names = [item["repositoryName"] for item in page["repositories"]]
        yield from (name for name in names if name == lab.repository)


_KINDS: dict[str, Callable[[Lab], Iterator[str] | list[str]]] = {
    "pipeline": _pipelines,
    "event rule": _rules,
    "application": _applications,
    "instance": _instances,
    "security group": _security_groups,
    "build project": _projects,
    "batch build": build.batches,
    "report group": build.report_groups,
    "log group": _log_groups,
    "bucket": _buckets,
    "object version": _object_versions,
    "instance profile": _instance_profiles,
    "role": _roles,
    "repository": _repositories,
}
