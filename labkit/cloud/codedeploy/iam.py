"""What IAM asks of CodeDeploy's state: whose a deployment is, and the tags of what has some.

AWS page: "Actions, resources, and condition keys for AWS CodeDeploy" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from labkit.cloud.codedeploy.models import Application, Group, codedeploy_backends
from labkit.cloud.iam import found, state, tags


def _application(account_id: str, region: str, name: str) -> Application | None:
    backend = state.among(codedeploy_backends, account_id, region)
    return None if backend is None else backend.applications.get(name)


def _group(account_id: str, region: str, named: str) -> Group | None:
    """Args: named: `APPLICATION/GROUP`."""
    application, _, name = named.partition("/")
    known = _application(account_id, region, application)
    return None if known is None else known.groups.get(name)


def _group_of(account_id: str, region: str, deployment_id: str) -> str | None:
    backend = state.among(codedeploy_backends, account_id, region)
    known = None if backend is None else backend.deployments.get(deployment_id)
    if known is None:
        return None
    place = f"arn:aws:codedeploy:{region}:{account_id}"
    return f"{place}:deploymentgroup:{known.application}/{known.group}"


def _config_of(account_id: str, region: str, named: str) -> str | None:
    known = _group(account_id, region, named)
    return None if known is None else known.config


def _tags(arn: state.Arn) -> Any:
    kind, _, name = arn.resource.partition(":")
    look = {"application": _application, "deploymentgroup": _group}.get(kind)
    known = look(arn.account_id, arn.region, name) if look else None
    return getattr(known, "tags", None)


found.kinds["codedeploy:deployment"] = _group_of
found.kinds["codedeploy:deployment-config"] = _config_of
tags.ours["codedeploy"] = _tags
