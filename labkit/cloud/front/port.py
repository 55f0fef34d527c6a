"""The port: talks HTTP/1.1 with whoever sends requests, and has no thread wait for any of them.

One thread waits for the bytes of all connections. Where some come, a thread of the pool goes on with
that connection's conversation until it would have to wait again: head, body, answer, each within its
bounds of size and time. The head is shown to the door before anything more is read, the body goes to
the sink that the door gave for it, and the answer is sent as the client takes it. So a client that
sends half a request, or takes half an answer, costs a place in a table. h11 reads and writes HTTP.
"""

from __future__ import annotations

import logging
import select
import selectors
import socket
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol

import h11
from werkzeug.wrappers import Response

from labkit.cloud.front.door import Visit
from labkit.cloud.front.environ import environ_of, field_value
from labkit.cloud.front.refusals import Environ, Refused
from labkit.cloud.front.signature import SignatureError
from labkit.cloud.shared import threads
from labkit.cloud.shared.bodies import BodyError

logger = logging.getLogger(__name__)
_READ_BYTES = 1 << 16
_WORKERS = 64
_TICK_SECONDS = 0.5
_PAUSE_SECONDS = 0.01
_GRACE_MILLISECONDS = 5  # a client sends head and body one after the other
_BUSY = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

# what a conversation waits for: selectors' event, and for how many seconds
Wait = tuple[int, float]
Talk = Generator[Wait, None, None]


@dataclass(frozen=True)
class Limits:
    """What a connection may take; seconds of real time."""

    connections: int = 1000
    head_bytes: int = 1 << 15
    head_seconds: float = 10  # from its first byte to its last
    rest_seconds: float = 300  # between two requests
    silence_seconds: float = 20  # of a client whose body is awaited, or that takes no answer
    bytes_per_second: int = 1 << 18  # of a body, over all, after the first minute
    linger_seconds: float = 5  # for a refused client to hear why


class Admits(Protocol):
    """The door, as the port knows it."""

    def admit(self, environ: Environ) -> Visit: ...


class Port:
    """Serves HTTP on a listening socket.

    Args:
        door: admits requests by their heads.
        listener: bound, and listening.
    """

    def __init__(self, door: Admits, listener: socket.socket, limits: Limits | None = None) -> None:
        self._door, self._listener, self._limits = door, listener, limits or Limits()
        self._workers = threads.workers(_WORKERS, "door")
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._waiting: dict[socket.socket, tuple[Talk, float]] = {}  # until when
        self._open, self._swept = 0, time.monotonic()

    def start(self) -> None:
        """Answer requests from now on, until the process ends."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        threads.repeat(self._step, name="http")

    def _step(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            if key.fileobj is self._listener:
                self._accept()
            else:
                self._go_on(key.fileobj)  # type: ignore[arg-type]
        if (now := time.monotonic()) - self._swept > _TICK_SECONDS:
            self._swept = now
            self._sweep(now)

    def _accept(self) -> None:
        try:
            client, (peer, _) = self._listener.accept()
        except OSError:  # a client that went again; or too many files are open, and some will close
            time.sleep(_PAUSE_SECONDS)
            return
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if full := self._open >= self._limits.connections:
                client.send(_BUSY)
        except OSError:  # it went meanwhile
            full = True
        if full:
            client.close()
            return
        with self._lock:
            self._open += 1
        talk = _Connection(self._door, client, peer, self._limits).talk()
        self._workers.submit(self._run, client, talk, None)

    def _sweep(self, now: float) -> None:
        """Tell those who have waited for too long."""
        with self._lock:
            late = [client for client, (_, until) in self._waiting.items() if until < now]
        for client in late:
            self._go_on(client, TimeoutError())

    def _go_on(self, client: socket.socket, error: Exception | None = None) -> None:
        with self._lock:
            talk, _ = self._waiting.pop(client)
            self._selector.unregister(client)
        self._workers.submit(self._run, client, talk, error)

    def _run(self, client: socket.socket, talk: Talk, error: Exception | None) -> None:
        """Go on with a conversation until it has to wait, or is over: done by the pool's threads."""
        try:
            event, seconds = talk.throw(error) if error else next(talk)
            with self._lock:
                self._selector.register(client, event)
                self._waiting[client] = talk, time.monotonic() + seconds
            return
        except (StopIteration, OSError, h11.LocalProtocolError):
            pass  # it is over: the last word was said, the client went, or took too long
        except Exception:
            logger.exception("a connection failed")
        client.close()
        with self._lock:
            self._open -= 1


class _Connection:
    """One client's connection, request after request."""

    def __init__(self, door: Admits, client: socket.socket, peer: str, limits: Limits) -> None:
        self._door, self._client, self._peer, self._limits = door, client, peer, limits
        self._poll = select.poll()
        self._poll.register(client, select.POLLIN)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)

    def talk(self) -> Talk:
        """All of it; what is yielded is waited for."""
        rest = self._limits.head_seconds
        while (environ := (yield from self._head(rest))) is not None:
            response = yield from self._answer(environ)
            yield from self._send(environ, response)
            if self._http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                yield from self._linger()
                return
            self._http.start_next_cycle()
            rest = self._limits.rest_seconds

    def _receive(self, seconds: float, grace: int = 0) -> Talk:
        """Take what comes next.

        Args:
            grace: milliseconds that this thread itself waits, for what is on its way already.

        Raises:
            TimeoutError: nothing came for so long.
        """
        if not (grace and self._poll.poll(grace)):
            yield selectors.EVENT_READ, seconds
        self._http.receive_data(self._client.recv(_READ_BYTES))

    def _head(self, rest_seconds: float) -> Generator[Wait, None, Environ | None]:
        """The next request's head as WSGI has it, or None when there is none."""
        try:
            event = self._http.next_event()
            if event is h11.NEED_DATA and not self._http.trailing_data[0]:
                yield from self._receive(rest_seconds)
                event = self._http.next_event()
            until = time.monotonic() + self._limits.head_seconds
            while event is h11.NEED_DATA:
                yield from self._receive(until - time.monotonic())
                event = self._http.next_event()
            return environ_of(event, self._peer) if isinstance(event, h11.Request) else None
        except h11.RemoteProtocolError as error:
            yield from self._send({"REQUEST_METHOD": "GET"}, _malformed(error))
            yield from self._linger()
            return None

    def _answer(self, environ: Environ) -> Generator[Wait, None, Response]:
        try:
            visit = self._door.admit(environ)
            try:
                yield from self._take_body(visit)
                return visit.answer(visit.sink.finish())
            except (BodyError, SignatureError) as error:
                return visit.refuse(error)
            finally:
                visit.sink.close()
        except Refused as refused:
            return refused.respond(environ)
        except h11.RemoteProtocolError as error:
            return _malformed(error)
        except Exception as error:
            return _failed(environ, error)

    def _take_body(self, visit: Visit) -> Talk:
        """Give the body to its sink as it comes."""
        begun, size = time.monotonic(), 0
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            yield from self._send_all(self._http.send(go_on) or b"")
        while not isinstance(event := self._http.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                size += len(event.data)
                if time.monotonic() - begun > 60 + size / self._limits.bytes_per_second:
                    raise _too_slow()
                visit.sink.write(bytes(event.data))
                continue
            try:
                yield from self._receive(self._limits.silence_seconds, _GRACE_MILLISECONDS)
            except TimeoutError as error:
                raise _too_slow() from error

    def _send(self, environ: Environ, response: Response) -> Talk:
        try:
            head, blocks = self._begin(environ, response)
        except Exception as error:  # a header that HTTP has no place for
            response = _failed(environ, error)
            head, blocks = self._begin(environ, response)
        try:
            if response.is_sequence:
                head += self._data(b"".join(blocks))
            else:
                yield from self._send_all(head)
                head = b""
                for block in blocks:
                    yield from self._send_all(self._data(block))
            yield from self._send_all(head + (self._http.send(h11.EndOfMessage()) or b""))
        finally:
            response.close()

    def _begin(self, environ: Environ, response: Response) -> tuple[bytes, Any]:
        blocks, status, headers = response.get_wsgi_response(environ)
        reusable = self._http.their_state is h11.DONE  # it was read to its end
        head = h11.Response(
            status_code=int(status[:3]),
            reason=status[4:].encode("latin-1", "replace"),
            headers=[
                *((name.encode(), field_value(value)) for name, value in headers),
                (b"Date", formatdate(usegmt=True).encode()),
                *([] if reusable else [(b"Connection", b"close")]),
            ],
        )
        return self._http.send(head) or b"", blocks

    def _data(self, block: bytes) -> bytes:
        return self._http.send(h11.Data(data=block)) or b"" if block else b""

    def _send_all(self, content: bytes) -> Talk:
        left = memoryview(content)
        while left:
            try:
                left = left[self._client.send(left) :]
            except BlockingIOError:
                yield selectors.EVENT_WRITE, self._limits.silence_seconds

    def _linger(self) -> Talk:
        """Read on for a moment: a connection closed with bytes unread takes the answer with it."""
        if self._http.they_are_waiting_for_100_continue:
            return
        self._client.shutdown(socket.SHUT_WR)
        until = time.monotonic() + self._limits.linger_seconds
        while (left := until - time.monotonic()) > 0:
            try:
                if not self._client.recv(_READ_BYTES):
                    return
            except BlockingIOError:
                yield selectors.EVENT_READ, left


def _malformed(error: h11.RemoteProtocolError) -> Response:
    hint = error.error_status_hint
    return Response(f"{error}\n", hint if hint < 500 else 400)


def _failed(environ: Environ, error: Exception) -> Response:
    """The answer where nobody has another: a fault of the door's own."""
    logger.error("%s %s", environ.get("REQUEST_METHOD"), environ.get("REQUEST_URI"), exc_info=error)
    return Response(f"The local AWS could not answer: {error!r}\n", 400)


def _too_slow() -> BodyError:
    return BodyError(
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout "
        "period. Idle connections will be closed.",
    )
