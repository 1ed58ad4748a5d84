"""Requests to the bridged server: each over a connection of its own, bounded in time and size, to that address only."""
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
from typing import Any, Dict, List, NamedTuple, Optional

from ..errors import InvalidResult, ModelError, Reject, clean

ANSWER_BYTES_MAX = 8 << 20  # several times the largest result that a server takes, whatever is wrapped around it
CHUNK = 64 * 1024  # bytes
SAID_CHARS = 300  # of an error page that are told
IMAGE_REFUSED = (400, 413, 415, 422)  # what a server answers when it is the photograph that it cannot take
NOT_THERE = (401, 403, 404, 405, 406, 407)  # what it answers when it is not what the command line says


class NotReady(Exception):
    """The server does not work just now, or is another than was said: whatever the photograph, nothing would come of it."""


class ServerError(Exception):
    """It failed with this photograph; another try may go better, not before `after` seconds if it said so."""

    def __init__(self, message: str, status: int = 0, after: Optional[float] = None):
        super().__init__(message)
        self.status, self.after = status, after


class BadAnswer(ServerError):
    """What it answered is nothing that its protocol knows."""


class CutOff(ServerError):
    """The connection ended before the answer did."""


class TimedOut(ServerError):
    """The answer did not come in time."""


class Answer(NamedTuple):
    """Status, headers and body, whatever the status."""

    asked: str  # method and path, for messages
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def good(self) -> "Answer":
        """Itself if it is a success; raises what another status means."""
        if 200 <= self.status < 300:
            return self
        said = "%s: %d %s" % (self.asked, self.status, self.text())
        if self.status in IMAGE_REFUSED:
            raise Reject(said)
        if 300 <= self.status < 400:
            raise NotReady("%s redirects to %s, which is not followed" % (self.asked, self.headers.get("Location", "?")[:200]))
        if self.status in NOT_THERE:
            raise NotReady(said)
        after = self.headers.get("Retry-After", "")
        raise ServerError(said, self.status, float(after) if after.isdecimal() else None)

    def json(self) -> Any:
        """The body, which must be JSON. Raises `BadAnswer`."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadAnswer("%s: the answer is not JSON (%s): %s" % (self.asked, type(error).__name__, self._start())) from error

    def text(self) -> str:
        """What an error says, in its server's own words."""
        with contextlib.suppress(ValueError, RecursionError):
            told = json.loads(self.body)
            if isinstance(told, dict):
                told = next((told[name] for name in ("detail", "error", "message", "mend") if told.get(name)), told)
            return clean(told if isinstance(told, str) else json.dumps(told))[:SAID_CHARS]
        return self._start()

    def _start(self) -> str:
        return clean(" ".join(self.body[:SAID_CHARS].decode("utf-8", "replace").split()))


class Client:
    """One server. No redirect is followed and no proxy asked, so nothing is ever sent anywhere else."""

    def __init__(self, url: str, trust: Optional[ssl.SSLContext] = None):
        """Raises `ModelError` if this is no address."""
        self.url = url.rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        try:
            self._port = parts.port
        except ValueError:
            self._port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or self._port == -1 or parts.query or parts.username:
            raise ModelError("%r is not the address of a model server: write http://host:port" % url)
        self._host, self._root, self._tls = parts.hostname, parts.path, parts.scheme == "https"
        self._trust = trust or (ssl.create_default_context() if self._tls else None)
        self._open: Dict[str, http.client.HTTPConnection] = {}  # by the key of what is asked

    def ask(self, method: str, path: str, body: Optional[bytes] = None, headers: Optional[Dict[str, str]] = None, *,
            limit_s: float, key: Optional[str] = None) -> Answer:
        """One request, to be answered whole in so many seconds; `hang_up(key)` breaks it. Raises `NotReady` when nobody
        listens there, `TimedOut`, `CutOff`, and `InvalidResult` for an answer that is too large."""
        asked, until = "%s %s" % (method, path), time.monotonic() + limit_s
        connection = self._connect(asked, limit_s)
        key, late = key or "%d" % id(connection), threading.Event()
        self._open[key] = connection

        def expire() -> None:
            late.set()
            _break(connection)
        timer = threading.Timer(max(0.0, until - time.monotonic()), expire)
        timer.daemon = True
        timer.start()  # the time-out of a socket is for each of its packets, and they may drip
        try:
            with contextlib.suppress(BrokenPipeError):  # who does not want to read it all may have said why
                connection.request(method, self._root + path, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            body = self._read(asked, answer)
            if answer.length or late.is_set():  # what was announced did not come
                raise http.client.IncompleteRead(body)
            return Answer(asked, answer.status, answer.headers, body)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:  # a broken TLS socket raises all sorts
            if late.is_set() or isinstance(error, socket.timeout):
                raise TimedOut("%s: no answer in %.3g s" % (asked, limit_s)) from error
            raise CutOff("%s: the connection ended early: %s" % (asked, error or type(error).__name__)) from error
        finally:
            timer.cancel()
            self._open.pop(key, None)
            connection.close()

    def hang_up(self, key: str) -> None:
        """Breaks the request with this key, if there is one; it raises `CutOff`."""
        connection = self._open.get(key)
        if connection is not None:
            _break(connection)

    def _connect(self, asked: str, limit_s: float) -> http.client.HTTPConnection:
        made = (http.client.HTTPSConnection(self._host, self._port, timeout=limit_s, context=self._trust) if self._tls
                else http.client.HTTPConnection(self._host, self._port, timeout=limit_s))
        try:
            made.connect()
        except OSError as error:
            made.close()
            raise NotReady("%s%s does not answer: %s" % (self.url, asked.split(" ")[1], error or type(error).__name__)) from error
        return made

    @staticmethod
    def _read(asked: str, answer: http.client.HTTPResponse) -> bytes:
        parts: List[bytes] = []
        size = 0
        while True:
            chunk = answer.read(CHUNK)
            if not chunk:
                return b"".join(parts)
            parts.append(chunk)
            size += len(chunk)
            if size > ANSWER_BYTES_MAX:
                raise InvalidResult("%s: the answer is larger than %d MiB" % (asked, ANSWER_BYTES_MAX >> 20))


def _break(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
