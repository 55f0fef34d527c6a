"""The environment of a build's commands.

AWS page: "Environment variables in build environments".
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from labkit.cloud.codebuild import splitting
from labkit.cloud.codebuild.buildspec import Buildspec
from labkit.cloud.codebuild.images import Image, unknown_version
from labkit.cloud.codebuild.models import Build
from labkit.cloud.guests import downloads, languages, own_processes, settings
from labkit.cloud.guests.guest import Guest
from labkit.cloud.shared import runtime
from labkit.cloud.shared.clients import Session

_PARAMETERS_A_CALL = 10
# AWS page: "Build caching in AWS CodeBuild": one SHA-256 over the files that the globs match
_HASH_FILES = """
import glob, hashlib, pathlib, sys
names = sorted({name for text in sys.argv[1:] for name in glob.glob(text, recursive=True)})
files = [pathlib.Path(name) for name in names if pathlib.Path(name).is_file()]
if not files:
    sys.exit(f"codebuild-hash-files: no file matches {' '.join(sys.argv[1:])}")
digest = hashlib.sha256()
for path in files:
    digest.update(hashlib.sha256(path.read_bytes()).digest())
print(digest.hexdigest())
"""
_NO_DOCKER = (
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running? "
    "(There is none in the lab: builds run without containers, so commands of Docker fail here.)"
)
STRICT = "LABKIT_STRICT_RUNTIMES"  # 1: a version that is not on this machine is refused
PLAIN, PARAMETER, SECRET = "PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER"


class VariableError(Exception):
    """A parameter or secret that could not be read; code and message are the phase context's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def base(build: Build, session: Session, guest: Guest, source: Path) -> dict[str, str]:
    """What every build has: the machine's passed-on part, the role's credentials, CODEBUILD_*.

    Args:
        guest: the build's own place; HOME and what is installed for the build lie there.
        source: CODEBUILD_SRC_DIR, as it lies on the machine.
    """
    lab = runtime.current()
    guest.prepare()
    _bring_settings(guest)
    downloads.copy_fetched(lab.state_dir)
    npm = guest.directory / "npm"
    return {
        **settings.environment(),
        **session.environment,
        "PATH": _path(guest, npm),
        "HOME": guest.inside(guest.home),
        "TMPDIR": guest.inside(guest.temporary),
        "AWS_ENDPOINT_URL": lab.endpoint_url,
        "AWS_REGION": build.region,
        "AWS_DEFAULT_REGION": build.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        # downloads are kept between builds; everything else of a build is gone with it
        "npm_config_cache": str(lab.directory("cache", "npm")),
        "npm_config_prefix": str(npm),
        "npm_config_update_notifier": "false",
        "PIP_CACHE_DIR": str(lab.directory("cache", "pip")),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "CI": "true",
        "CODEBUILD_CI": "true",  # in no page, but in every build (kzu/til, pull request 2)
        **_about(build, guest.inside(source)),
    }


def _bring_settings(guest: Guest) -> None:
    """The learner's own registries and proxies, as npm and pip read them."""
    for name, text in settings.files():
        path = guest.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _path(guest: Guest, npm: Path) -> str:
    """The machine's PATH, with the AWS CLI and a Python of the build's own before it.

    The lab's own virtual environment is not on it: a build that calls pip would change the lab.
    """
    python = languages.python()
    assert python.bin_dir is not None
    own = languages.isolated_python(
        (python.bin_dir / "python").resolve(), guest.directory / "python"
    )
    lab_bin = Path(sys.executable).parent
    in_venv = sys.prefix != sys.base_prefix
    machine = [
        part
        for part in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if part and not (in_venv and Path(part) == lab_bin)
    ]
    return os.pathsep.join(
        [
            str(npm / "bin"),
            *([] if guest.isolated else own_processes.before_the_machines()),
            str(own),
            str(_aws_cli()),
            str(_test_splitting()),
            str(_no_docker()),
            str(_hash_files()),
            *machine,
        ]
    )


def _aws_cli() -> Path:
    """A directory with the command `aws`, run by the lab's own interpreter."""
    directory = runtime.current().guest_directory("tools", "aws")
    languages.script(directory / "aws", f'exec {shlex.quote(sys.executable)} -I -m awscli "$@"')
    return directory


def _test_splitting() -> Path:
    """A directory with `codebuild-tests-run` and `codebuild-glob-search`, which AWS's images have."""
    directory = runtime.current().guest_directory("tools", "test-splitting")
    run = f"exec {shlex.quote(sys.executable)} -I -m {splitting.__name__}"
    for name in ("tests-run", "glob-search"):
        languages.script(directory / f"codebuild-{name}", f'{run} {name} "$@"')
    return directory


def _hash_files() -> Path:
    """A directory with the command `codebuild-hash-files`, for the key of a cache."""
    directory = runtime.current().guest_directory("tools", "hash-files")
    program = f"exec {shlex.quote(sys.executable)} -I -c {shlex.quote(_HASH_FILES)}"
    languages.script(directory / "codebuild-hash-files", f'{program} "$@"')
    return directory


def _no_docker() -> Path:
    """A directory with commands of Docker that say that there is none: a build is no container."""
    directory = runtime.current().guest_directory("tools", "no-docker")
    for name in ("docker", "dockerd", "docker-compose"):
        languages.script(directory / name, f"echo {shlex.quote(_NO_DOCKER)} >&2; exit 1")
    return directory


def _about(build: Build, source: str) -> dict[str, str]:
    environment = build.settings["environment"]
    url = f"https://{build.region}.console.aws.amazon.com/codebuild/home?region={build.region}"
    found = {
        "CODEBUILD_BATCH_BUILD_IDENTIFIER": build.batch_identifier,
        **build.webhook,
        "CODEBUILD_BUILD_ARN": build.arn,
        "CODEBUILD_BUILD_ID": build.id,
        "CODEBUILD_BUILD_NUMBER": str(build.number),
        "CODEBUILD_BUILD_IMAGE": environment["image"],
        "CODEBUILD_BUILD_URL": f"{url}#/builds/{build.id}/view/new",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": build.initiator,
        "CODEBUILD_KMS_KEY_ID": build.fields()["encryptionKey"],
        "CODEBUILD_LOG_PATH": build.log_stream,
        "CODEBUILD_PROJECT_ARN": build.project.arn,
        "CODEBUILD_SOURCE_VERSION": build.source_version,
        "CODEBUILD_SRC_DIR": source,
        "CODEBUILD_START_TIME": str(int(build.started.timestamp() * 1000)),
        splitting.SHARD: "{}/{}".format(*build.shard) if build.shard else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def variables(
    build: Build, spec: Buildspec, session: Session, say: Callable[[str], None]
) -> tuple[dict[str, str], list[str]]:
    """The variables of buildspec and project, resolved, and the values that a log must mask.

    The project's, with those of StartBuild in them, win over the buildspec's.

    Raises:
        VariableError: a parameter or secret that is not there, or not readable for the role.
    """
    wanted = {
        **{name: (PLAIN, value) for name, value in spec.variables.items()},
        **{name: (PARAMETER, value) for name, value in spec.parameters.items()},
        **{name: (SECRET, value) for name, value in spec.secrets.items()},
        **_declared(build),
    }
    plain = {name: value for name, (kind, value) in wanted.items() if kind == PLAIN}
    parameters = {name: value for name, (kind, value) in wanted.items() if kind == PARAMETER}
    secrets = {name: value for name, (kind, value) in wanted.items() if kind == SECRET}
    hidden: dict[str, str] = {}
    if parameters:
        say("Decrypting parameter store environment variables")
        values = _parameters(set(parameters.values()), session)
        hidden |= {name: values[reference] for name, reference in parameters.items()}
    for name, reference in secrets.items():
        hidden[name] = _secret(reference, session)
    return {**plain, **hidden}, list(hidden.values())


def exportable(names: Iterable[str], build: Build) -> list[str]:
    """The names that `exported-variables` may export.

    AWS page: "Build specification reference for CodeBuild", env/exported-variables: not AWS_*, and
    not the parameters and secrets of the project.
    """
    secret = {name for name, (kind, _) in _declared(build).items() if kind != PLAIN}
    return [name for name in names if not name.startswith("AWS_") and name not in secret]


def with_runtimes(
    spec: Buildspec,
    image: Image | None,
    env: Mapping[str, str],
    directory: Path,
    say: Callable[[str], None],
) -> tuple[str, list[str]]:
    """The PATH with the runtimes that the buildspec asks for in front, and what replaces another.

    Args:
        image: the curated image; None of any other, which has no runtimes to choose from.

    Raises:
        BuildspecError: one that the image has not got, or, with LABKIT_STRICT_RUNTIMES=1, that is
            not on this machine in that version.
        languages.RuntimeMissing: one that is not on this machine at all.
    """
    if spec.runtimes and image is None:
        # published: sbstjn/cra-pipeline, issue 6
        say(
            "[WARN] Skipping install of runtimes. Runtime version selection is not supported by this "
            "build image."
        )
    path, replaced = env["PATH"], list[str]()
    chosen = spec.runtimes if image is not None else {}
    for name, wanted in chosen.items():
        version = languages.resolved(wanted, env)
        say(f"Selecting '{name}' runtime version '{version}' based on manual selections...")
        assert image is not None
        image.check(name, version)
        found = languages.find(name, version)
        say(found.note)
        if found.replaces is not None:
            if os.environ.get(STRICT) == "1":
                raise unknown_version(name, version, [found.version])
            replaced.append(found.note)
        front = found.bin_dir
        if name == "python" and front is not None:
            own = directory / f"python-{found.version}"
            front = languages.isolated_python((front / "python").resolve(), own)
        if front is not None:
            path = f"{front}{os.pathsep}{path}"
    return path if "nodejs" in chosen else _with_default_node(path, say), replaced


def _with_default_node(path: str, say: Callable[[str], None]) -> str:
    """AWS's standard images have a Node on the PATH, asked for or not; so does every build here."""
    if shutil.which("node", path=path):
        return path
    try:
        found = languages.nodejs()
    except languages.RuntimeMissing:
        return path
    say(found.note)
    return f"{path}{os.pathsep}{found.bin_dir}"


def _declared(build: Build) -> dict[str, tuple[str, str]]:
    declared = build.settings["environment"].get("environmentVariables") or []
    return {item["name"]: (item.get("type") or PLAIN, item["value"]) for item in declared}


def _parameters(names: set[str], session: Session) -> dict[str, str]:
    ordered, found = sorted(names), dict[str, str]()
    ssm = session.client("ssm")
    for start in range(0, len(ordered), _PARAMETERS_A_CALL):
        chunk = ordered[start : start + _PARAMETERS_A_CALL]
        try:
            answer = ssm.get_parameters(Names=chunk, WithDecryption=True)
        except (ClientError, ParamValidationError) as error:
            raise VariableError("Decrypted Variables Error", _told(error)) from error
        found |= {item["Name"]: item["Value"] for item in answer["Parameters"]}
        # asked for by its ARN, a parameter answers by its name
        found |= {item.get("ARN", ""): item["Value"] for item in answer["Parameters"]}
    for name in ordered:
        if name not in found:
            raise VariableError("Decrypted Variables Error", f"parameter does not exist: {name}")
    return found


def _secret(reference: str, session: Session) -> str:
    """`secret-id:json-key:version-stage:version-id`; an ARN has six colons of its own."""
    parts = reference.split(":")
    own = 7 if reference.startswith("arn:") else 1
    secret_id, rest = ":".join(parts[:own]), [*parts[own:], "", "", ""]
    key, chosen = rest[0], {"VersionStage": rest[1], "VersionId": rest[2]}
    try:
        answer = session.client("secretsmanager").get_secret_value(
            SecretId=secret_id, **{name: value for name, value in chosen.items() if value}
        )
    except (ClientError, ParamValidationError) as error:
        raise VariableError("Secrets Manager Error", _told(error)) from error
    text = answer.get("SecretString", "")
    return _member(text, key, secret_id) if key else text


def _member(text: str, key: str, secret_id: str) -> str:
    try:
        value: Any = json.loads(text)[key]
    except (ValueError, KeyError, TypeError) as error:
        raise VariableError(
            "Secrets Manager Error", f"the secret {secret_id} has no JSON key {key}"
        ) from error
    return value if isinstance(value, str) else json.dumps(value)


def _told(error: ClientError | ParamValidationError) -> str:
    if isinstance(error, ParamValidationError):
        return f"ValidationException: {error}"
    detail = error.response["Error"]
    return f"{detail['Code']}: {detail.get('Message', '')}"
