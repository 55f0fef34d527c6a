"""Git's smart HTTP protocol at the clone URL, answered by git's own `http-backend`.

AWS page: "Connect to an AWS CodeCommit repository".
"""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import nullcontext
from typing import Any

from moto.core.exceptions import ServiceException
from werkzeug.wrappers import Response

from labkit.cloud.codecommit.repositories import codecommit_backends
from labkit.cloud.shared import runtime
from labkit.cloud.shared.git import git_environment
from labkit.cloud.shared.identity import Principal

_CHUNK = 1 << 16
_SERVICES = ("/info/refs", "/git-upload-pack", "/git-receive-pack")


def answer(environ: dict[str, Any], principal: Principal, repository_name: str) -> Response:
    """Answer one request of a git client that has been authenticated as `principal`."""
    region = runtime.current().region
    try:
        repository = codecommit_backends[principal.account_id][region].get(repository_name)
    except ServiceException as error:
        return Response(f"{error.message}\n", 404)
    rest = environ["PATH_INFO"].split(f"/v1/repos/{repository_name}", 1)[1]
    if rest not in _SERVICES:
        return Response("Not found\n", 404)
    env = {
        **git_environment(),
        "GIT_PROJECT_ROOT": str(repository.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository.path.name}{rest}",
        "REMOTE_USER": principal.arn,
        "GIT_COMMITTER_EMAIL": "",
        "GIT_PROTOCOL": environ.get("HTTP_GIT_PROTOCOL", ""),
    }
    for name in ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "HTTP_CONTENT_ENCODING"):
        env[name] = environ.get(name, "")
    with tempfile.TemporaryFile() as body, tempfile.TemporaryFile() as output:
        _receive(environ, body, env)
        changing = repository.changing(principal) if rest == "/git-receive-pack" else nullcontext()
        with changing:
            subprocess.run(["git", "http-backend"], stdin=body, stdout=output, env=env, check=False)
        output.seek(0)
        return _response(output.read())


def _receive(environ: dict[str, Any], body: Any, env: dict[str, str]) -> None:
    """Copy the request's body to a file, whether it has a length or comes in chunks."""
    stream = environ["wsgi.input"]
    left = None if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
    while left is None or left > 0:
        block = stream.read(_CHUNK if left is None else min(_CHUNK, left))
        if not block:
            break
        body.write(block)
        left = None if left is None else left - len(block)
    env["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)


def _response(output: bytes) -> Response:
    head, _, body = output.partition(b"\r\n\r\n")
    headers = [line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line]
    status = next((value for name, value in headers if name == "Status"), "200 OK")
    return Response(body, status, [(name, value) for name, value in headers if name != "Status"])
