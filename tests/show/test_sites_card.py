"""The card of the sites: what each host answers, or that it does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from labkit.show.sites import Site, Sites, ask, link


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        answer: tuple[int, bytes] = (200, b"{}")

        def do_GET(self) -> None:
            self.send_response(self.answer[0])
            self.end_headers()
            self.wfile.write(self.answer[1])

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def answers(server: HTTPServer, status: int, body: bytes) -> str:
    server.RequestHandlerClass.answer = (status, body)  # type: ignore[attr-defined]
    return f"http://127.0.0.1:{server.server_port}"


def test_a_site_tells_its_version(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # not asked
    said = {"version": "1.2.0", "commit": "0123456789", "colour": "teal", "host": "i-1"}
    site = ask("i-1", "hello-1", answers(server, 200, json.dumps(said).encode()))
    assert (site.version, site.commit, site.colour, site.error) == ("1.2.0", "01234567", "teal", "")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(500, b"", "answers 500"), (200, b"<html>", "does not answer")],
)
def test_a_site_that_fails_is_said_to_fail(
    server: HTTPServer, status: int, body: bytes, error: str
) -> None:
    assert ask("i-1", "hello-1", answers(server, status, body)).error == error


def test_a_site_that_is_not_there_does_not_answer(server: HTTPServer) -> None:
    assert ask("i-1", "hello-1", "http://127.0.0.1:1").error == "does not answer"


def test_the_card_shows_colour_as_a_word_and_escapes_what_a_site_says() -> None:
    card = Sites(
        [
            Site("hello-1", "i-1", "http://127.0.0.1:8001", "1.0.0", "01234567", "teal"),
            Site("hello-2", "i-2", "http://127.0.0.1:8002", error="does not answer"),
            Site("hello-3", "i-3", "http://127.0.0.1:8003", "<b>", "", '"><script>'),
        ]
    )
    html = card._repr_html_()
    assert '<a href="http://127.0.0.1:8001"' in html and ">teal</td>" not in html[:0]
    assert "✘ does not answer" in html
    assert "<b>" not in html and "<script>" not in html
    assert repr(card).splitlines()[:2] == [
        "hello-1  http://127.0.0.1:8001  version 1.0.0 (01234567, teal)",
        "hello-2  http://127.0.0.1:8002  does not answer",
    ]
    assert repr(Sites()) == "No host runs."


@pytest.mark.parametrize(
    ("prefix", "url", "expected"),
    [
        ("", "http://127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("/user/ada/", "http://127.0.0.1:8001", "/user/ada/proxy/8001/"),
        ("/user/ada/", "http://54.1.2.3:8080", "http://54.1.2.3:8080"),
    ],
)
def test_behind_a_hub_a_link_goes_through_its_proxy(
    monkeypatch: pytest.MonkeyPatch, prefix: str, url: str, expected: str
) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    assert link(url) == expected
