"""The one door (rule R3): every request's host, signature and service are checked here.

Then it is recorded, and answered by moto or by one of our services. What either of them cannot do
comes back as an AWS-shaped error that names the operation, never as a success and never as a 500.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

from botocore.loaders import create_loader
from moto.core.exceptions import ServiceException
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from labkit.cloud.front import signature
from labkit.cloud.front.services import REFUSED, SERVICES
from labkit.cloud.front.signature import SignatureError
from labkit.cloud.shared import deliveries, identity, runtime
from labkit.cloud.shared.identity import Principal
from labkit.cloud.shared.service import error_response, unsupported

logger = logging.getLogger(__name__)
GIT_PATH = "/v1/repos/"

# the same refusals, as the older XML protocols name them
_XML_CODES = {
    "s3": {
        "MissingAuthenticationTokenException": "AccessDenied",
        "UnrecognizedClientException": "InvalidAccessKeyId",
        "InvalidSignatureException": "SignatureDoesNotMatch",
        "IncompleteSignatureException": "AuthorizationHeaderMalformed",
        "UnknownOperationException": "NotImplemented",
    },
    "query": {
        "MissingAuthenticationTokenException": "MissingAuthenticationToken",
        "UnrecognizedClientException": "InvalidClientTokenId",
        "InvalidSignatureException": "SignatureDoesNotMatch",
        "IncompleteSignatureException": "IncompleteSignature",
        "UnknownOperationException": "InvalidAction",
    },
}

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Door:
    """A WSGI application in front of all services.

    Args:
        dispatch: the application that answers a signed request (moto's dispatcher, with ours in it).
        git: answers git over HTTP for an authenticated principal.
    """

    def __init__(self, dispatch: Callable[..., Iterable[bytes]], git: Callable[..., Any]) -> None:
        self.dispatch, self.git = dispatch, git
        self._trail = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if (refusal := _foreign(environ)) is not None:
            return refusal(environ, start_response)
        if _is_git(environ):
            return self._git(environ, start_response)
        if environ["PATH_INFO"].startswith(deliveries.PATH):
            return self._delivery(environ, start_response)
        uri = environ["REQUEST_URI"]
        headers = {name.lower(): value for name, value in Request(environ).headers.items()}
        service = "sts"
        try:
            body = _read(environ)
            signed = signature.read(headers, environ.get("QUERY_STRING", ""))
            service = signed.service
            principal = signature.verify(signed, environ["REQUEST_METHOD"], uri, headers, body)
        except SignatureError as error:
            return _refuse(service, error.code, error.message, environ, start_response, 403)
        return self._answer(signed.service, signed.region, principal, environ, start_response)

    def _answer(
        self,
        service: str,
        region: str,
        principal: Principal,
        environ: Environ,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        if service not in SERVICES:
            message = f"The lab's local AWS does not have the service {service} (nothing was done)."
            return _refuse(service, "UnknownOperationException", message, environ, start_response)
        name = SERVICES[service]
        operation = _operation(name, environ)
        status = 0

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = int(line.split()[0])
            return start_response(line, *rest)

        environ["labkit.principal"], environ["labkit.service"] = principal, name
        try:
            if operation in REFUSED.get(name, ()):
                raise unsupported(name, operation)
            if (name, operation) == ("sts", "AssumeRole"):
                identity.check_trust(principal, Request(environ).form.get("RoleArn", ""))
                environ["wsgi.input"].seek(0)
            return self.dispatch(environ, start)
        except NotImplementedError:
            error = unsupported(name, operation)
            return _refuse(service, error.code, error.message, environ, start)
        except ServiceException as error:
            code = 403 if error.code.startswith("AccessDenied") else None
            return _refuse(service, error.code, error.message, environ, start, code)
        except HTTPException as error:
            return error.get_response(environ)(environ, start)
        except Exception as error:
            logger.exception("%s:%s", name, operation)
            message = f"{name}:{operation} could not be done by the lab's local AWS: {error!r}"
            return _refuse(service, "ValidationException", message, environ, start)
        finally:
            self._record(name, operation, region, principal, environ, status)

    def _git(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        repository = path.removeprefix(GIT_PATH).split("/")[0]
        host = environ["HTTP_HOST"].rpartition(":")[0]
        region = runtime.current().region
        try:
            principal = signature.verify_git(
                environ.get("HTTP_AUTHORIZATION", ""), region, GIT_PATH + repository, host
            )
        except SignatureError as error:
            challenge = {"WWW-Authenticate": 'Basic realm="CodeCommit"'}
            return Response(error.message, 401, challenge)(environ, start_response)
        push = "git-receive-pack" in environ.get("QUERY_STRING", "") + path
        self._record(
            "codecommit", "GitPush" if push else "GitPull", region, principal, environ, 200
        )
        response: Response = self.git(environ, principal, repository)
        return response(environ, start_response)

    def _delivery(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what a git provider posts to a webhook: its secret is its signature."""
        headers = {name.lower(): value for name, value in Request(environ).headers.items()}
        headers[":peer"] = environ.get("REMOTE_ADDR", "")
        if environ["REQUEST_METHOD"] != "POST":
            return Response("Deliveries are posted.\n", 405)(environ, start_response)
        if int(environ.get("CONTENT_LENGTH") or 0) > deliveries.MOST_BYTES:
            status, answer = 413, {"message": "the payload is larger than 25 MB"}
        else:
            status, answer = deliveries.answer(environ["PATH_INFO"], headers, _read(environ))
        text = json.dumps(answer)
        return Response(text, status, content_type="application/json")(environ, start_response)

    def _record(
        self,
        service: str,
        operation: str,
        region: str,
        principal: Principal,
        environ: Environ,
        status: int,
    ) -> None:
        """Append the call to the trail, a CloudTrail record a line (less what it cannot know)."""
        record = {
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "eventSource": f"{service}.amazonaws.com",
            "eventName": operation,
            "awsRegion": region,
            "userIdentity": {
                "arn": principal.arn,
                "accessKeyId": principal.access_key_id,
                "invokedBy": principal.invoked_by,
            },
            "userAgent": environ.get("HTTP_USER_AGENT", ""),
            "httpStatus": status,
        }
        with self._trail, (runtime.current().state_dir / "trail.jsonl").open("a") as trail:
            trail.write(json.dumps(record) + "\n")


def _foreign(environ: Environ) -> Response | None:
    """The answer to a request that a web page could have made the browser send, or None."""
    allowed = runtime.current().endpoint_url.removeprefix("http://")
    port = allowed.rpartition(":")[2]
    if environ.get("HTTP_HOST") not in (allowed, f"localhost:{port}"):
        return Response("The local AWS answers on its own loopback address only.\n", 403)
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
        return Response("The local AWS does not answer web pages.\n", 403)
    return None


def _is_git(environ: Environ) -> bool:
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    return environ["PATH_INFO"].startswith(GIT_PATH) and (
        authorization.lower().startswith("basic ")
        or (not authorization and "X-Amz-Signature" not in environ.get("QUERY_STRING", ""))
    )


def _read(environ: Environ) -> bytes:
    """The request's body, left in the environment to be read again."""
    if environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read()
        environ["wsgi.input_terminated"] = False
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def _operation(boto3_name: str, environ: Environ) -> str:
    """The operation a request asks for, by its protocol's own sign of it."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return str(target.rpartition(".")[2])
    request = Request(environ)
    if "form" in environ.get("CONTENT_TYPE", "") or "Action" in request.args:
        action = request.values.get("Action", "")
        environ["wsgi.input"].seek(0)
        return action
    try:
        operation, _ = get_service_router(boto3_name).match(request)
        return str(operation.name)
    except (HTTPException, NotImplementedError):
        return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def _refuse(
    service: str,
    code: str,
    message: str,
    environ: Environ,
    start_response: StartResponse,
    status: int | None = None,
) -> Iterable[bytes]:
    name = SERVICES.get(service) or (service if service in _modelled() else "sts")
    content_type = environ.get("CONTENT_TYPE", "")
    if "json" in content_type:  # also where no signature says which service was meant
        text: str | bytes = json.dumps({"__type": code, "message": message})
        return Response(text, status or 400, content_type=content_type)(environ, start_response)
    if name == "s3":
        code = _XML_CODES["s3"].get(code, code)
        text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return Response(text, status or 400, content_type="application/xml")(
            environ, start_response
        )
    if "json" not in get_service_model(name).protocol:
        code = _XML_CODES["query"].get(code, code)
    number, headers, text = error_response(
        name, ServiceException(code, message), content_type, status
    )
    return Response(text, number, headers)(environ, start_response)


@cache
def _modelled() -> frozenset[str]:
    """The services that botocore has a model of: an error can be written as they would."""
    return frozenset(create_loader().list_available_services("service-2"))
