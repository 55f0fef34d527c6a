"""A request's head in the form that WSGI gives it (PEP 3333), as werkzeug and moto read it."""

from __future__ import annotations

import io
import sys
from typing import Any
from urllib.parse import unquote_to_bytes

import h11
from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)

Environ = dict[str, Any]


def environ_of(request: h11.Request, peer: str) -> Environ:
    """The environment of a request whose body is not there yet.

    Args:
        peer: the client's address.

    Raises:
        h11.RemoteProtocolError: it asks for something that is no path.
    """
    target = request.target.decode("latin-1")
    if not target.startswith("/"):
        raise h11.RemoteProtocolError("only paths of this server are answered")
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **_header_fields(request),
    }


def _header_fields(request: h11.Request) -> Environ:
    """Headers as WSGI names them; of names with underscores only S3's metadata, as moto has it."""
    found: Environ = {}
    names: dict[str, str] = {}
    for raw, value in request.headers.raw_items():
        name = raw.decode("latin-1")
        key = environ_key_for_header(name)
        if "_" in name:
            if not should_preserve_original_header_name(name):
                continue
            names[key] = name
        text = value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return {**found, PRESERVED_HEADER_NAMES_ENVIRON_KEY: names}


def field_value(value: Any) -> bytes:
    """A header's value as it goes over the wire."""
    text = str(value)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
