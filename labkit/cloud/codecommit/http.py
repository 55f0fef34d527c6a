"""Git's smart HTTP protocol at the clone URL, answered by git's own `http-backend`.

AWS page: "Connect to an AWS CodeCommit repository".
"""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import nullcontext
from functools import partial
from itertools import takewhile
from typing import IO, Any

from moto.core.exceptions import ServiceException
from werkzeug.wrappers import Response

from labkit.cloud.codecommit.repositories import codecommit_backends
from labkit.cloud.shared import runtime
from labkit.cloud.shared.bodies import Body
from labkit.cloud.shared.git import git_environment
from labkit.cloud.shared.identity import Principal

_CHUNK = 1 << 18
_SERVICES = ("/info/refs", "/git-upload-pack", "/git-receive-pack")


def answer(
    environ: dict[str, Any], principal: Principal, repository_name: str, body: Body
) -> Response:
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
        "CONTENT_LENGTH": str(len(body)),
    }
    for name in ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "HTTP_CONTENT_ENCODING"):
        env[name] = environ.get(name, "")
    scratch = runtime.current().directory("bodies")
    output = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the response closes it
    changing = repository.changing(principal) if rest == "/git-receive-pack" else nullcontext()
    with changing, body.file(scratch) as given:
        subprocess.run(["git", "http-backend"], stdin=given, stdout=output, env=env, check=False)
    output.seek(0)
    return _response(output)


def _response(output: IO[bytes]) -> Response:
    """What `http-backend` wrote, as CGI has it: headers, an empty line, and what may be a whole repository."""
    lines = iter(output.readline, b"")
    head = [line.decode().rstrip("\r\n") for line in takewhile(lambda line: line.strip(), lines)]
    headers = [tuple(line.split(": ", 1)) for line in head if ": " in line]
    status = next((value for name, value in headers if name == "Status"), "200 OK")
    response = Response(
        iter(partial(output.read, _CHUNK), b""),
        status,
        [(name, value) for name, value in headers if name != "Status"],
    )
    response.call_on_close(output.close)
    return response
