"""Functions: what moto keeps of Lambda is run, as its role, in execution environments of its own.

`Invoke` of an alias chooses a version by the alias's weights. Runtimes are Node and Python, the
machine's; layers, images and function URLs are refused. AWS pages: "Invoke" in the Lambda API
Reference; "Implement Lambda canary deployments using a weighted alias"; "Lambda function logging".
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import random
import re
import time
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.base_backend import BaseBackend

from labkit.cloud.compute import function_metrics
from labkit.cloud.guests import environments, languages
from labkit.cloud.guests.environments import Outcome, Version
from labkit.cloud.shared import clients, threads
from labkit.cloud.shared.archives import ArchiveError
from labkit.cloud.shared.clients import Session
from labkit.cloud.shared.service import AWSError

LAMBDA = "lambda.amazonaws.com"
logger = logging.getLogger(__name__)
_RUNTIME = re.compile(r"nodejs\d+\.x|python3\.\d+")
_TAIL = 4096  # bytes of the log that LogType Tail shows
_ASYNCHRONOUS_TRIES = 3
_asynchronous = threads.Queue(16, "lambda-event")
_logs = threads.Queue(1, "lambda-logs")  # one thread, to keep their order


def start() -> None:
    """Make moto's functions run: called once, when the local AWS starts."""
    create, delete = LambdaBackend.create_function, LambdaBackend.delete_function
    code, settings = LambdaBackend.update_function_code, LambdaBackend.update_function_configuration

    def create_function(self: Any, spec: dict[str, Any]) -> Any:
        _check(spec)
        return create(self, spec)

    def update_function_configuration(
        self: Any, function_name: str, qualifier: Any, body: Any
    ) -> Any:
        _check({"Runtime": "nodejs22.x", **body})
        answer = settings(self, function_name, qualifier, body)
        environments.end(function_name.split(":")[-1])
        return answer

    def update_function_code(self: Any, function_name: str, qualifier: Any, body: Any) -> Any:
        answer = code(self, function_name, qualifier, body)
        environments.end(function_name.split(":")[-1])
        return answer

    def delete_function(self: Any, function_name: str, qualifier: Any = None) -> None:
        delete(self, function_name, qualifier)
        environments.end(function_name.split(":")[-1])

    def checked(change: Any) -> Any:
        def change_alias(self: Any, **given: Any) -> Any:
            weights = (given.get("routing_config") or {}).get("AdditionalVersionWeights") or {}
            for version in weights:  # moto looks for the other version alone
                self.get_function(given["function_name"], version)
            return change(self, **given)

        return change_alias

    # a version is a copy of its function, which points to all logs: they are not copied with it
    BaseBackend.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    LambdaBackend.create_function = create_function  # type: ignore[method-assign]
    LambdaBackend.update_function_configuration = update_function_configuration  # type: ignore[method-assign]
    LambdaBackend.update_function_code = update_function_code  # type: ignore[method-assign]
    LambdaBackend.delete_function = delete_function  # type: ignore[method-assign]
    LambdaBackend.create_alias = checked(LambdaBackend.create_alias)  # type: ignore[method-assign]
    LambdaBackend.update_alias = checked(LambdaBackend.update_alias)  # type: ignore[method-assign]
    LambdaResponse.invoke = _answer  # type: ignore[method-assign]
    LambdaFunction.invoke = _delivered  # type: ignore[method-assign,assignment]


def _check(spec: dict[str, Any]) -> None:
    """Refuse what could not run here.

    Raises:
        AWSError: InvalidParameterValueException.
    """
    unsupported = [
        key for key in ("Layers", "VpcConfig", "ImageConfig", "FileSystemConfigs") if spec.get(key)
    ]
    if unsupported:
        raise _invalid(f"does not support {', '.join(unsupported)}")
    if spec.get("PackageType", "Zip") != "Zip":
        raise _invalid("does not support PackageType Image: there are no containers here")
    if not _RUNTIME.fullmatch(spec.get("Runtime") or ""):
        raise _invalid(f"runs functions of nodejs and python, not of {spec.get('Runtime')}")


def _invalid(what: str) -> AWSError:
    return AWSError(
        "InvalidParameterValueException", f"The lab's local AWS {what} (nothing was done)"
    )


def _answer(self: LambdaResponse) -> tuple[int, dict[str, str], str | bytes]:
    """Stands in moto's place: `Invoke` of all three invocation types."""
    name = unquote(self.path.rsplit("/", 2)[-2])
    asked = self.querystring.get("Qualifier", [None])[0]
    function = _chosen(self.backend, name, asked)
    qualifier = asked or name.split(":function:")[-1].partition(":")[2]
    event, request_id = _event(self.body), str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id, "x-amz-executed-version": str(function.version)}
    kind = self.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if kind == "DryRun":
        return 204, {**headers, "status": "204"}, ""
    if kind == "Event":
        _queue_event(function, event, request_id, qualifier)
        return 202, {**headers, "status": "202"}, ""
    outcome, told = _run(function, event, request_id, qualifier)
    if outcome.failed:
        headers["x-amz-function-error"] = "Unhandled"
    if self.headers.get("X-Amz-Log-Type") == "Tail":
        headers["x-amz-log-result"] = base64.b64encode(told[-_TAIL:]).decode()
    return 200, headers, outcome.payload


def _delivered(self: LambdaFunction, body: str, *_: Any) -> str:
    """An event that one of moto's services delivers, as SNS does to a subscribed function."""
    _queue_event(self, _event(body), str(uuid.uuid4()))
    return ""


def _chosen(backend: LambdaBackend, name: str, qualifier: str | None) -> LambdaFunction:
    """The version to run; of an alias with weights, one of its two, at random."""
    function = backend.get_function(name, qualifier)
    short = name.split(":function:")[-1]
    _base, _, suffix = short.partition(":")
    alias = backend._lambdas._get_function_aliases(function.function_name).get(
        suffix or qualifier or ""
    )
    if alias is None:
        return function
    routing: Any = alias.routing_config or {}
    drawn = random.random()
    for version, weight in (routing.get("AdditionalVersionWeights") or {}).items():
        if drawn < float(weight):
            return backend.get_function(function.function_name, version)
        drawn -= float(weight)
    return function


def _event(body: Any) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError as error:
        raise AWSError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: {error}",
        ) from error


def _queue_event(
    function: LambdaFunction, event: Any, request_id: str, qualifier: str = ""
) -> None:
    _asynchronous.add(
        partial(_run_event, function, event, request_id, qualifier),
        failed=partial(_not_run, function, request_id),
    )


def _run_event(function: LambdaFunction, event: Any, request_id: str, qualifier: str) -> None:
    """An asynchronous invocation is tried three times. AWS page: "Invoking a function asynchronously"."""
    for _ in range(_ASYNCHRONOUS_TRIES):
        try:
            outcome, _ = _run(function, event, request_id, qualifier)
        except AWSError as error:
            _not_run(function, request_id, error)
            return
        if not outcome.failed:
            return


def _not_run(function: LambdaFunction, request_id: str, error: Exception) -> None:
    """An event that the function never saw: its log is where a learner looks for it."""
    told = error.message if isinstance(error, AWSError) else repr(error)
    logger.warning("%s: %s", function.function_name, told)
    line = f"RequestId: {request_id} The event was not delivered: {told}"
    day = datetime.now(UTC)
    _queue_log(function, f"{day:%Y/%m/%d}/[{function.version}]{uuid.uuid4().hex}", line.encode())


def _run(
    function: LambdaFunction, event: Any, request_id: str, qualifier: str
) -> tuple[Outcome, bytes]:
    """Run a version once; its outcome, and its log as CloudWatch Logs has it."""
    version = _version(function)
    try:
        outcome = environments.invoke(
            version, event, request_id, lambda: _session(function).environment
        )
    except (ArchiveError, languages.RuntimeMissing) as error:
        raise AWSError("InvalidZipFileException", f"{function.function_name}: {error}") from error
    except (ClientError, BotoCoreError) as error:
        raise AWSError(
            "AccessDeniedException",
            f"The role {function.role} cannot be assumed by Lambda: {error}",
        ) from error
    told = _told(version, outcome, request_id)
    function_metrics.count(
        version.name,
        qualifier,
        version.version,
        failed=outcome.failed,
        seconds=outcome.seconds,
        arn=version.arn,
    )
    _queue_log(function, outcome.stream, told)
    return outcome, told


def _queue_log(function: LambdaFunction, stream: str, told: bytes) -> None:
    _logs.add(partial(_put_logs, function, stream, told), failed=partial(_not_logged, function))


def _version(function: LambdaFunction) -> Version:
    variables = function.environment_vars or {}
    return Version(
        function.function_arn,
        function.function_name,
        str(function.version),
        function.run_time or "",
        function.handler or "",
        function.code_bytes,
        function.code_sha_256,
        tuple(sorted((str(key), str(value)) for key, value in variables.items())),
        float(function.timeout),
        int(function.memory_size),
        function.region,
    )


def _session(function: LambdaFunction) -> Session:
    return clients.assume_role(
        LAMBDA,
        function.role,
        function.function_name,
        function.region,
        source_arn=function.function_arn,
    )


def _told(version: Version, outcome: Outcome, request_id: str) -> bytes:
    milliseconds = outcome.seconds * 1000
    begin = f"START RequestId: {request_id} Version: {version.version}\n".encode()
    report = (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\t"
        f"Billed Duration: {int(milliseconds) + 1} ms\tMemory Size: {version.memory_mb} MB\n"
    )
    return begin + outcome.log + report.encode()


def _put_logs(function: LambdaFunction, stream: str, told: bytes) -> None:
    moment = int(time.time() * 1000)
    lines = told.decode("utf-8", "replace").splitlines()
    events = [{"timestamp": moment, "message": line or " "} for line in lines]
    group = f"/aws/lambda/{function.function_name}"
    place = {"logGroupName": group, "logStreamName": stream}
    try:
        logs = _session(function).client("logs")
        try:
            logs.put_log_events(**place, logEvents=events)
        except logs.exceptions.ResourceNotFoundException:
            _make(logs, place)
            logs.put_log_events(**place, logEvents=events)
    except (ClientError, BotoCoreError) as error:
        # as on AWS: a role that may not write logs runs without them
        _not_logged(function, error)


def _not_logged(function: LambdaFunction, error: Exception) -> None:
    logger.info("%s: no log: %s", function.function_name, error)


def _make(logs: Any, place: dict[str, str]) -> None:
    for make, names in (
        (logs.create_log_group, {"logGroupName": place["logGroupName"]}),
        (logs.create_log_stream, place),
    ):
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            make(**names)
