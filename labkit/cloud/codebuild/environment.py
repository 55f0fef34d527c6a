"""The environment of a build's commands.

AWS page: "Environment variables in build environments".
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from labkit.cloud import runtime
from labkit.cloud.clients import Session
from labkit.cloud.codebuild.buildspec import Buildspec
from labkit.cloud.codebuild.models import Build
from labkit.cloud.processes import passed_on_environment


class VariableError(Exception):
    """A parameter or secret that could not be read; the message is the phase context's."""


def base(build: Build, session: Session, home: Path, source: Path) -> dict[str, str]:
    """What every build has: the machine's passed-on part, the role, and CODEBUILD_*."""
    lab = runtime.current()
    own_bin = str(Path(sys.executable).parent)
    return {
        **passed_on_environment(),
        **session.environment,
        "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), own_bin]),
        "HOME": str(home),
        "AWS_ENDPOINT_URL": lab.endpoint_url,
        "AWS_REGION": build.region,
        "AWS_DEFAULT_REGION": build.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # downloads are kept between builds; everything else of a build is gone with it
        "npm_config_cache": str(lab.directory("cache", "npm")),
        "npm_config_update_notifier": "false",
        "PIP_CACHE_DIR": str(lab.directory("cache", "pip")),
        "CI": "true",
        **_about(build, source),
    }


def _about(build: Build, source: Path) -> dict[str, str]:
    environment = build.settings["environment"]
    found = {
        "CODEBUILD_BUILD_ARN": build.arn,
        "CODEBUILD_BUILD_ID": build.id,
        "CODEBUILD_BUILD_NUMBER": str(build.number),
        "CODEBUILD_BUILD_IMAGE": environment["image"],
        "CODEBUILD_BUILD_URL": f"https://{build.region}.console.aws.amazon.com/codebuild/home?region={build.region}#/builds/{build.id}/view/new",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": build.initiator,
        "CODEBUILD_KMS_KEY_ID": build.fields()["encryptionKey"],
        "CODEBUILD_LOG_PATH": build.log_stream,
        "CODEBUILD_PROJECT_ARN": build.project.arn,
        "CODEBUILD_SOURCE_VERSION": build.source_version,
        "CODEBUILD_SRC_DIR": str(source),
        "CODEBUILD_START_TIME": str(int(build.started.timestamp() * 1000)),
    }
    return {name: value for name, value in found.items() if value is not None}


def variables(build: Build, spec: Buildspec, session: Session) -> tuple[dict[str, str], list[str]]:
    """The variables of buildspec and project, resolved, and the values that a log must mask.

    The project's, with those of StartBuild in them, win over the buildspec's.

    Raises:
        VariableError: a parameter or secret that is not there, or not readable for the role.
    """
    declared = build.settings["environment"].get("environmentVariables") or []
    typed = {item["name"]: (item.get("type", "PLAINTEXT"), item["value"]) for item in declared}
    wanted = {
        **{name: ("PLAINTEXT", value) for name, value in spec.variables.items()},
        **{name: ("PARAMETER_STORE", value) for name, value in spec.parameters.items()},
        **{name: ("SECRETS_MANAGER", value) for name, value in spec.secrets.items()},
        **typed,
    }
    found: dict[str, str] = {}
    masked: list[str] = []
    for name, (kind, value) in wanted.items():
        if kind == "PLAINTEXT":
            found[name] = value
        else:
            read = _parameter if kind == "PARAMETER_STORE" else _secret
            found[name] = _reading(name, read, value, session)
            masked.append(found[name])
    return found, masked


def _reading(name: str, read: Any, reference: str, session: Session) -> str:
    try:
        return read(reference, session)
    except ClientError as error:
        detail = error.response["Error"]
        raise VariableError(f"{detail['Code']}: {detail.get('Message', '')} ({name})") from error
    except (KeyError, ValueError) as error:
        raise VariableError(f"{name}: {reference}: {error}") from error


def _parameter(name: str, session: Session) -> str:
    found = session.client("ssm").get_parameters(Names=[name], WithDecryption=True)
    if not found["Parameters"]:
        raise ValueError("Parameter does not exist")
    return found["Parameters"][0]["Value"]


def _secret(reference: str, session: Session) -> str:
    """`secret-id:json-key:version-stage:version-id`; an ARN has six colons of its own."""
    parts = reference.split(":")
    own = 7 if reference.startswith("arn:") else 1
    secret_id, rest = ":".join(parts[:own]), [*parts[own:], "", "", ""]
    extra = {"VersionStage": rest[1], "VersionId": rest[2]}
    text = session.client("secretsmanager").get_secret_value(
        SecretId=secret_id, **{key: value for key, value in extra.items() if value}
    )["SecretString"]
    return str(json.loads(text)[rest[0]]) if rest[0] else text
