"""What a container is started with: its command, its environment, and the secrets in it.

AWS pages: "Amazon ECS task definition parameters for Fargate"; "Pass sensitive data to an Amazon ECS
container".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.cloud.compute.containers import layers
from labkit.cloud.compute.containers.images import ImageError, Unpacked
from labkit.cloud.guests import languages, own_processes, settings
from labkit.cloud.shared import runtime
from labkit.cloud.shared.clients import Session


def command(declared: Mapping[str, Any], image: Unpacked, override: Mapping[str, Any]) -> list[str]:
    """As Docker has it: an entryPoint of the task definition makes the image's Cmd void."""
    entry = declared.get("entryPoint")
    given = override.get("command") or declared.get("command") or ([] if entry else image.command)
    whole = [*(entry or image.entrypoint), *given]
    if not whole:
        raise ImageError(f"CannotStartContainerError: no command specified in {declared['image']}")
    return whole


def program_path(program: str, directory: Path, root: Path) -> str:
    """A program of the image's own, if it has it; otherwise the machine's."""
    if "/" not in program:
        return program
    own = layers.inside(root, program) if program.startswith("/") else directory / program
    return str(own) if own.exists() else program


def variables(
    declared: Mapping[str, Any],
    override: Mapping[str, Any],
    image: Unpacked,
    ports: Mapping[int | None, int],
    session: Session,
    role: Session | None,
) -> dict[str, str]:
    """The environment of a container.

    Args:
        override: what RunTask said of it, over its definition.
        ports: the loopback port that stands for each of its own.
        session: of the execution role, which reads its secrets.
        role: of the task role, if it has one.
    """
    given = {one["name"]: one["value"] for one in declared.get("environment") or []}
    given |= {one["name"]: one["value"] for one in override.get("environment") or []}
    scoped = own_processes.before_the_machines()
    path = [*scoped, str(languages.nodejs().bin_dir), os.environ.get("PATH", os.defpath)]
    return {
        **settings.environment(),
        "PATH": os.pathsep.join(path),
        "HOME": str(image.root),
        "AWS_REGION": session.region,
        "AWS_DEFAULT_REGION": session.region,
        "AWS_ENDPOINT_URL": runtime.current().endpoint_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
        **{key: value for key, value in image.environment.items() if key != "PATH"},
        **given,
        **_secrets(declared, session),
        **{f"PORT_{number}": str(port) for number, port in ports.items() if number},
        "PORT": str(next(iter(ports.values()))),
        "LISTEN_ADDRESS": "127.0.0.1",
        **(role.environment if role else {}),
    }


def _secrets(declared: Mapping[str, Any], session: Session) -> dict[str, str]:
    """AWS page: "Pass sensitive data to an Amazon ECS container"."""
    found = {}
    for secret in declared.get("secrets") or []:
        source = secret["valueFrom"]
        if ":secretsmanager:" in source:
            found[secret["name"]] = _secret(source, session)
        else:
            name = source.split(":parameter")[-1] if source.startswith("arn:") else source
            answer = session.client("ssm").get_parameter(Name=name, WithDecryption=True)
            found[secret["name"]] = answer["Parameter"]["Value"]
    return found


def _secret(source: str, session: Session) -> str:
    """A secret, or one key of it: `<arn>:json-key:version-stage:version-id`, each may be empty.

    AWS page: "Pass Secrets Manager secrets through Amazon ECS environment variables".
    """
    parts = source.split(":")
    key, stage, version = [*parts[7:], "", "", ""][:3]
    wanted = {"VersionStage": stage} if stage else {}
    wanted |= {"VersionId": version} if version else {}
    arn = ":".join(parts[:7])
    text = session.client("secretsmanager").get_secret_value(SecretId=arn, **wanted)["SecretString"]
    if not key:
        return str(text)
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"ResourceInitializationError: unable to pull secrets or registry auth: retrieved secret "
            f"from Secrets Manager did not contain json key {key}"
        ) from error
    return value if isinstance(value, str) else json.dumps(value)
