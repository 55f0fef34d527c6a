"""The port: moto's dispatcher with our services in their places, behind the door.

`__main__` runs it. All it starts ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import psutil
from moto.core.request import Request
from moto.core.responses import BaseResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Response

from labkit.cloud import bus
from labkit.cloud.codecommit import http as git_http
from labkit.cloud.codeconnections import models as connections
from labkit.cloud.codeconnections.models import Connection
from labkit.cloud.codedeploy import scaling
from labkit.cloud.compute import containers, functions, hosts
from labkit.cloud.compute.balancer import elbv2
from labkit.cloud.front import absences
from labkit.cloud.front.door import Door
from labkit.cloud.front.launcher import no_proxy
from labkit.cloud.front.port import Port
from labkit.cloud.guests import watchdog
from labkit.cloud.guests.isolation import isolation
from labkit.cloud.guests.processes import JUPYTERLAB, Processes
from labkit.cloud.iam import grammar
from labkit.cloud.monitoring import alarms
from labkit.cloud.s3 import objects
from labkit.cloud.shared import identity, runtime
from labkit.cloud.shared.deliveries import Delivery
from labkit.cloud.shared.service import Service

# what is imported when it is first asked for
OURS = {
    "accessanalyzer": "labkit.cloud.accessanalyzer.service:AccessAnalyzer",
    "codecommit": "labkit.cloud.codecommit.service:CodeCommit",
    "codepipeline": "labkit.cloud.codepipeline.service:CodePipeline",
    "codebuild": "labkit.cloud.codebuild.service:CodeBuild",
    "codedeploy": "labkit.cloud.codedeploy.service:CodeDeploy",
    "codeconnections": "labkit.cloud.codeconnections.service:CodeConnections",
    "codestar-connections": "labkit.cloud.codeconnections.service:CodeStarConnections",
    "cloudtrail": "labkit.cloud.trail.service:CloudTrail",
}
# what is changed in moto when its service is first asked for: some take seconds to import
LATE = {
    "cloudformation": "labkit.cloud.front.policies:start_stacks",
    "ec2": "labkit.cloud.compute.network:start",
    "iam": "labkit.cloud.iam.api:start",
    "kms": "labkit.cloud.iam.keys:start",
    "logs": "labkit.cloud.monitoring.log_keys:start",
    "secretsmanager": "labkit.cloud.front.absences:of_secrets",
    "sns": "labkit.cloud.bus.senders:start_topics",
    "sqs": "labkit.cloud.front.absences:of_queues",
    "organizations": "labkit.cloud.iam.organization:start",
    "ssm": "labkit.cloud.front.absences:of_parameters",
    "stepfunctions": "labkit.cloud.stepfunctions:start",
    "sts": "labkit.cloud.iam.sessions:start",
}
ADDRESS = "127.0.0.1"
_OPEN_FILES = 10_240  # the most that macOS grants
_starting = threading.Lock()


class Dispatcher(DomainDispatcherApplication):
    """moto's dispatcher; what the door found to be one of our services goes to it."""

    def get_application(self, environ: dict[str, Any]) -> Any:
        name = environ["labkit.service"]
        if name in LATE:
            with _starting:
                _start(name)
        return _application(name) if name in OURS else super().get_application(environ)


def _do_what_was_asked() -> None:
    """Have moto do the operation that the door named; moto would look into bodies for a name too."""
    original = BaseResponse._get_action

    def _get_action(self: BaseResponse) -> str:
        request = getattr(self, "normalized_request", None)
        return (request and request.environ.get("labkit.operation")) or original(self)

    BaseResponse._get_action = _get_action  # type: ignore[method-assign]


def _in_the_signers_account() -> None:
    """Have moto work in the account of who signed; by itself it believes a header, or guesses by the key."""
    original = BaseResponse.get_current_account

    def get_current_account(self: BaseResponse) -> str:
        request = getattr(self, "normalized_request", None)
        principal = request and request.environ.get("labkit.principal")
        return principal.account_id if principal else original(self)

    BaseResponse.get_current_account = get_current_account  # type: ignore[method-assign]


@cache
def _start(name: str) -> None:
    resolve_name(LATE[name])()


@cache
def _application(name: str) -> Callable[..., Iterable[bytes]]:
    """The WSGI application of one of our services."""
    service: type[Service] = resolve_name(OURS[name])

    class WsgiRequest(Request):
        from_wsgi_server = True

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, headers, body = service.dispatch(WsgiRequest(environ), environ["REQUEST_URI"])
        return Response(body, status, headers)(environ, start_response)

    return app


def _tell_pipelines(connection: Connection, delivery: Delivery) -> dict[str, Any]:
    from labkit.cloud.codepipeline import triggers

    return triggers.receive(connection, delivery)


def serve(state_dir: Path, port: int) -> None:
    """Run one local AWS in this process until it is told to stop."""
    try:
        listener = socket.create_server((ADDRESS, port), backlog=1024)
    except OSError as error:
        sys.exit(str(error))
    endpoint = f"http://{ADDRESS}:{listener.getsockname()[1]}"
    runtime.start(runtime.Runtime(state_dir, endpoint, region="us-east-1"))
    learner = identity.create_learner(runtime.current().account_id, state_dir / "keys.json")
    dispatcher = Dispatcher(create_backend_app)
    front = Port(Door(dispatcher, git_http.answer), listener)
    _do_what_was_asked()
    _in_the_signers_account()
    absences.start()
    connections.listeners.append(_tell_pipelines)
    grammar.start()
    objects.start()
    bus.start()
    hosts.start()
    functions.start()
    elbv2.start()
    containers.start()
    scaling.start()
    alarms.start()
    watchdog.start(Processes(state_dir))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    front.start()
    _write_description(state_dir, endpoint, learner)
    stop.wait()
    (state_dir / "lab.json").unlink(missing_ok=True)
    listener.close()
    Processes(state_dir).end(but_not=JUPYTERLAB)
    shutil.rmtree(state_dir / "bodies", ignore_errors=True)


def _write_description(state_dir: Path, endpoint: str, learner: identity.Principal) -> None:
    """Say where this lab answers; the file appears whole, readable by its owner alone."""
    description = {
        "endpoint_url": endpoint,
        "region": runtime.current().region,
        "account_id": learner.account_id,
        "access_key_id": learner.access_key_id,
        "secret_access_key": learner.secret_access_key,
        "pid": os.getpid(),
        "pid_created": psutil.Process().create_time(),
        "state_dir": str(state_dir),
        "guests_dir": str(runtime.current().guests_dir),
        "isolation": isolation().told,
    }
    draft = state_dir / "lab.json.new"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(description, indent=2))
    draft.replace(state_dir / "lab.json")


def _allow_open_files() -> None:
    """As many as this user may have: some systems give 256 or 1,024 unless asked."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    if now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m labkit.cloud.front")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ.update(no_proxy())
    _allow_open_files()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for noisy in ("botocore", "boto3", "urllib3", "moto"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="Exception.* does not match an error shape")
    with contextlib.suppress(KeyboardInterrupt):
        serve(options.state_dir, options.port)
    os._exit(0)  # worker threads may still wait for what was just ended
