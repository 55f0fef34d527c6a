"""The one door (rule R3): every request's host, signature and service are checked here.

A request comes in two steps. `Door.admit` sees its head alone, and says what its body may be, or
refuses it unread: pages of a browser, unknown keys, what is out of its time, services that are not
here, bodies that are too large, and, where the client says the body's digest (S3's do), a signature
that is not right. What `admit` returns takes the body as it comes, and `Visit.answer` does the work:
checks what needs the body, has moto or one of our services answer, and records the call.

What either of them cannot do comes back as an AWS-shaped error that names the operation, never as a
success and never as a 500.
"""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from labkit.cloud.codecommit import pushes
from labkit.cloud.front import inputs, keys, limits, operations, policies, refusals, signature
from labkit.cloud.front.chunked import FORMS, Chunks
from labkit.cloud.front.refusals import Environ, Refused, plainly, refuse
from labkit.cloud.front.services import SERVICES
from labkit.cloud.front.signature import Chain, SignatureError, Signed
from labkit.cloud.iam.authorization import Denied, authorize
from labkit.cloud.iam.context import Connection
from labkit.cloud.s3.objects import BODY
from labkit.cloud.shared import deliveries, runtime
from labkit.cloud.shared.bodies import Body, BodyError, Spool, too_large
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import AWSError, unsupported
from labkit.cloud.trail import records
from labkit.cloud.trail.records import Call

logger = logging.getLogger(__name__)
GIT_PATH = "/v1/repos/"
_SMALL_ANSWER = 1 << 18
_MOST_NAME = 128


@dataclass(frozen=True)
class Visit:
    """A request whose head was let in.

    Args:
        sink: takes the body as it comes.
        answer: does the work, with the whole body.
        refuse: the answer if the body is not taken after all.
    """

    sink: Spool | Chunks
    answer: Callable[[Body], Response]
    refuse: Callable[[BodyError | SignatureError], Response]


class Door:
    """What stands in front of all services.

    Args:
        dispatch: the WSGI application that answers a signed request (moto's dispatcher, with ours in it).
        git: answers git over HTTP for an authenticated principal.
    """

    def __init__(
        self, dispatch: Callable[..., Iterable[bytes]], git: Callable[..., Response]
    ) -> None:
        self.dispatch, self.git = dispatch, git

    def admit(self, environ: Environ) -> Visit:
        """Check what can be told of a request by its head.

        Args:
            environ: of WSGI, with nothing in `wsgi.input` yet.

        Raises:
            Refused: it is not let in, whatever its body is.
        """
        _check_host(environ)
        if _is_git(environ):
            return self._git(environ)
        if environ["PATH_INFO"].startswith(deliveries.PATH):
            return _delivery(environ)
        return self._signed(environ)

    def _signed(self, environ: Environ) -> Visit:
        headers = {name.lower(): value for name, value in Request(environ).headers.items()}
        service = "sts"
        try:
            signed = signature.read(headers, environ["QUERY_STRING"])
            service = signed.service
            principal = signature.identify(signed)
            check = partial(
                signature.check,
                signed,
                principal,
                environ["REQUEST_METHOD"],
                environ["REQUEST_URI"],
                headers,
            )
            claimed = signature.claimed_digest(signed, headers)
            if claimed is not None:
                check(claimed)
        except SignatureError as error:
            raise Refused(
                partial(refuse, service, error.code, error.message, status=403)
            ) from error
        if service not in SERVICES:
            message = f"The lab's local AWS does not have the service {service} (nothing was done)."
            raise Refused(partial(refuse, service, "UnknownOperationException", message))
        sink = _sink(environ, headers, signed, principal, claimed)

        def answer(body: Body) -> Response:
            try:
                if claimed is None:
                    check(body.sums["sha256"].hex())
                elif "sha256" in body.sums:
                    signature.check_digest(claimed, body.sums["sha256"].hex())
            except SignatureError as error:
                return refuse(service, error.code, error.message, environ, 403)
            if isinstance(sink, Chunks):
                environ.update(_checksums(sink.trailers))
            return self._answer(signed, principal, environ, body)

        return Visit(sink, answer, partial(_refuse_body, service, environ))

    def _answer(
        self, signed: Signed, principal: Principal, environ: Environ, body: Body
    ) -> Response:
        service, name = signed.service, SERVICES[signed.service]
        operation = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        call = Call(service, name, operation, signed.region, principal, environ)
        _hand_over(name, environ, body)
        environ["labkit.principal"], environ["labkit.service"] = principal, name
        environ["labkit.region"] = signed.region
        try:
            operation = environ["labkit.operation"] = _operation(name, environ) or operation
            call.operation = operation
            if (table := operations.of(name)) is not None:
                if operation not in table.kinds:
                    raise unsupported(name, operation)
                call.given = inputs.check(name, operation, table, environ)
            else:
                call.given = inputs.read(name, operation, environ)
            environ["labkit.given"] = call.given
            _authorize(call)
            if table is not None:  # only now: what is wrong with it tells who is there
                policies.check(table, operation, call.given)
            response = _called(self.dispatch, environ)
        except NotImplementedError:
            error = unsupported(name, operation)
            response = refuse(service, error.code, error.message, environ)
        except ServiceException as error:
            call.error = error.code, error.message
            status = 403 if refusals.is_denial(error.code) else None
            response = refuse(service, error.code, error.message, environ, status)
        except HTTPException as error:
            response = _called(error, environ)
        except RecursionError:
            message = "The body is nested too deeply."
            response = refuse(service, "SerializationException", message, environ)
        except Exception as error:
            _report(f"{name}:{operation}", error)
            message = f"{name}:{operation} could not be done by the lab's local AWS: {error!r}"
            response = refuse(service, "ValidationException", message, environ)
        finally:
            environ.pop(BODY, None)  # werkzeug's requests hold on to it, in a circle
        _record(call, response)
        return response

    def _git(self, environ: Environ) -> Visit:
        path = environ["PATH_INFO"]
        repository = path.removeprefix(GIT_PATH).split("/")[0]
        host = environ["HTTP_HOST"].rpartition(":")[0]
        region = runtime.current().region
        try:
            principal = signature.verify_git(
                environ.get("HTTP_AUTHORIZATION", ""), region, GIT_PATH + repository, host
            )
        except SignatureError as error:
            challenge = 'Basic realm="CodeCommit"'
            raise plainly(error.message, 401, WWW_Authenticate=challenge) from error

        def answer(body: Body) -> Response:
            push = "git-receive-pack" in environ["QUERY_STRING"] + path
            operation, given = "GitPush" if push else "GitPull", {"repositoryName": repository}
            call = Call("codecommit", "codecommit", operation, region, principal, environ, given)
            try:
                refused = _refused_to_git(call, body)
                response = refused or self.git(environ, principal, repository, body)
            except Exception as error:
                _report(f"codecommit:{operation}", error)
                response = Response(f"{operation} could not be done: {error!r}\n", 400)
            _record(call, response)
            return response

        return Visit(_spool(environ, limits.of_push(), _refuse_push), answer, _refuse_push)


def _check_host(environ: Environ) -> None:
    """Refuse what a web page could have made the browser send."""
    allowed = runtime.current().endpoint_url.removeprefix("http://")
    port = allowed.rpartition(":")[2]
    if environ.get("HTTP_HOST") not in (allowed, f"localhost:{port}"):
        raise plainly("The local AWS answers on its own loopback address only.", 403)
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
        raise plainly("The local AWS does not answer web pages.", 403)


def _is_git(environ: Environ) -> bool:
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    return environ["PATH_INFO"].startswith(GIT_PATH) and (
        authorization.lower().startswith("basic ")
        or (not authorization and "X-Amz-Signature" not in environ["QUERY_STRING"])
    )


def _delivery(environ: Environ) -> Visit:
    """What a git provider posts to a webhook: its secret is its signature."""
    path = environ["PATH_INFO"]
    headers = {name.lower(): value for name, value in Request(environ).headers.items()}
    headers[":peer"] = environ["REMOTE_ADDR"]
    if environ["REQUEST_METHOD"] != "POST":
        raise plainly("Deliveries are posted.", 405)

    def respond(status: int, content: dict[str, Any]) -> Response:
        return Response(json.dumps(content), status, content_type="application/json")

    def answer(body: Body) -> Response:
        return respond(*deliveries.answer(path, headers, bytes(body)))

    def refuse_body(error: BodyError | SignatureError) -> Response:
        status, message = 400, error.message
        if error.code == "EntityTooLarge":
            status, message = 413, "the payload is larger than 25 MB"
        return respond(status, {"message": message})

    return Visit(_spool(environ, deliveries.MOST_BYTES, refuse_body), answer, refuse_body)


def _sink(
    environ: Environ,
    headers: dict[str, str],
    signed: Signed,
    principal: Principal,
    claimed: str | None,
) -> Spool | Chunks:
    """What takes the body of a signed request."""
    name, refuse_body = SERVICES[signed.service], partial(_refuse_body, signed.service, environ)
    upload = _is_upload(name, environ)
    most = limits.of_object() if upload else limits.of_service(name)
    sums = ["md5", "crc32"] if upload else []
    if claimed is None or not claimed.startswith(("STREAMING-", signature.UNSIGNED)):
        sums.append("sha256")
    if claimed is None or not claimed.startswith("STREAMING-"):
        return _spool(environ, most, refuse_body, sums)
    if claimed not in FORMS:
        message = (
            f"The lab's local AWS does not take bodies of the form {claimed} (nothing was done)."
        )
        raise Refused(partial(refuse, signed.service, "UnknownOperationException", message))
    length = headers.get("x-amz-decoded-content-length", "")
    if not (length.isascii() and length.isdigit()):
        message = "You must provide the x-amz-decoded-content-length HTTP header."
        raise Refused(partial(refuse, signed.service, "MissingContentLength", message, status=411))
    if int(length[:15]) > most:
        raise Refused(lambda environ: refuse_body(too_large(most)))
    chain = Chain(signed, principal) if FORMS[claimed] else None
    return Chunks(_spool({}, most, refuse_body, sums), int(length), chain)


def _refused_to_git(call: Call, body: Body) -> Response | None:
    """What a git client is told instead, if IAM refuses; a push that names its references is answered as one.

    AWS page: "Limit pushes and merges to branches in AWS CodeCommit".
    """
    push = None
    if call.environ["PATH_INFO"].endswith("/git-receive-pack"):
        try:
            push = pushes.read(body, call.environ.get("HTTP_CONTENT_ENCODING", ""))
        except ValueError as error:
            return Response(f"Not a push: {error}\n", 400)
        call.given = {**call.given, "references": list(push.references)}
    try:
        _authorize(call)
    except AWSError as error:
        call.error = error.code, error.message
        if push is None:
            return Response(f"{error.message}\n", 403)
        return Response(push.refused(error.message), content_type=pushes.RESULT)
    return None


def _authorize(call: Call) -> None:
    """Ask IAM; what was asked stays with the call."""
    environ = call.environ
    agent, source = environ.get("HTTP_USER_AGENT", ""), environ.get("HTTP_X_AMZ_SOURCE_ARN")
    connection = Connection(call.region, source, agent, _counts_as_tls(environ))
    try:
        call.asked = authorize(call.principal, call.service, call.operation, call.given, connection)
    except Denied as error:
        call.asked = error.asked
        raise refusals.denied(call.service, str(error), error.refused) from error
    keys.check(call.service, call.asked)


def _record(call: Call, response: Response) -> None:
    """Keep the call for CloudTrail; what cannot be said of it takes no answer away."""
    try:
        records.write(call, response)
    except Exception as error:
        _report(f"the record of {call.service}:{call.operation}", error)


def _counts_as_tls(environ: Mapping[str, Any]) -> bool:
    """Nothing leaves this machine: the address that the lab hands out stands for AWS's https endpoints.

    The same port as `localhost` stands for http, so that what a policy says of it can be tried.
    AWS page: "AWS global condition context keys", aws:SecureTransport.
    """
    return not str(environ["HTTP_HOST"]).startswith("localhost:")


def _spool(
    environ: Environ,
    most: int,
    refuse_body: Callable[[BodyError], Response],
    sums: Iterable[str] = (),
) -> Spool:
    if int(environ.get("CONTENT_LENGTH") or 0) > most:
        raise Refused(lambda environ: refuse_body(too_large(most)))
    return Spool(bodies_directory(), most, sums)


def bodies_directory() -> Path:
    """Where bodies lie that are too large for memory."""
    return runtime.current().directory("bodies")


def _refuse_body(service: str, environ: Environ, error: BodyError | SignatureError) -> Response:
    if isinstance(error, SignatureError):
        return refuse(service, error.code, error.message, environ, 403)
    return refusals.of_body(service, error.code, error.message, environ)


def _refuse_push(error: BodyError | SignatureError) -> Response:
    return Response(f"{error.message}\n", 413 if error.code == "EntityTooLarge" else 400)


def _checksums(trailers: Mapping[str, str]) -> Environ:
    """What came behind a body, as if it had come before."""
    return {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in trailers.items()
        if name.startswith("x-amz-checksum-")
    }


def _is_upload(name: str, environ: Environ) -> bool:
    return limits.is_upload(
        name, environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]
    )


def _hand_over(name: str, environ: Environ, body: Body) -> None:
    """Put the body where it will be looked for: what S3 stores may be too large for memory."""
    upload = _is_upload(name, environ)
    content = b"" if upload else bytes(body)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(content), str(len(content))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if environ.get("HTTP_X_AMZ_CONTENT_SHA256", "").startswith("STREAMING-"):
        environ["HTTP_X_AMZ_CONTENT_SHA256"] = signature.UNSIGNED  # it has been decoded
        environ.pop("HTTP_X_AMZ_DECODED_CONTENT_LENGTH", None)
    if upload:
        environ[BODY] = body


def _operation(boto3_name: str, environ: Environ) -> str:
    """The operation a request asks for, by its protocol's own sign of it; it is that one that runs."""
    request = Request(environ)
    protocol = get_service_model(boto3_name).protocol
    if protocol.startswith("rest"):
        try:
            operation, environ["labkit.uri"] = get_service_router(boto3_name).match(request)
            return str(operation.name)
        except (HTTPException, NotImplementedError):
            return ""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target.rpartition(".")[2])
    action = (request.form or request.args).get("Action", "")
    environ["wsgi.input"].seek(0)
    return str(action or environ["PATH_INFO"].rpartition("/operation/")[2])


def _called(app: Any, environ: Environ) -> Response:
    """What an application answers, read already where it is small; a 500 is none of AWS's answers."""
    response = Response.from_app(app, environ)
    if response.content_length is not None and response.content_length <= _SMALL_ANSWER:
        response.make_sequence()
    if response.status_code >= 500:
        logger.warning("%s was answered with %s", environ["REQUEST_URI"], response.status)
        response.status_code = 400
    return response


def _report(what: str, error: Exception) -> None:
    """Tell what failed inside, with a traceback where the fault is ours rather than moto's."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    known = [file for file in files if "/moto/" in file or "/labkit/cloud/" in file]
    if known and "/moto/" in known[-1]:
        logger.warning("%s: moto could not do it: %r", what, error)
    else:
        logger.exception("%s", what)
