"""The way to the server: one kept connection per thread, and patience."""
import base64
import contextlib
import hashlib
import http.client
import ipaddress
import json
import logging
import os
import random
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from typing import Any, BinaryIO, Callable, Dict, Optional, Tuple, Union

from .errors import ModelError

log = logging.getLogger("darkroom")
PAUSE_S = (0.25, 30.0)  # full jitter: the first and the longest back-off
TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 120.0  # of a pause in sending a file, and for its answer
FETCH_TRIES = 4  # of an image that comes wrong, or from a host that is not the server
CHUNK = 256 * 1024  # bytes
Body = Union[None, bytes, BinaryIO]


class Failure(Exception):
    """An answer other than a success."""

    def __init__(self, message: str, status: int = 0, retry_after_s: float = 0.0):
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class Gone(Failure):
    """410: the server gave this session up; register again."""


class Revoked(Failure):
    """401 or 403: the key may not do this (any more)."""


class Refused(Failure):
    """Another 4xx: the same again would be refused again."""


class Busy(Failure):
    """The server is away, or asks for patience: the same request may be sent again."""

    def pause_s(self, tries: int) -> float:
        """Full jitter, and never sooner than the server asked."""
        return max(self.retry_after_s, random.uniform(0, min(PAUSE_S[1], PAUSE_S[0] * 2 ** min(tries, 10))))


class OtherBytes(Busy):
    """What was downloaded has another digest than what was asked for."""


class DiskFull(Exception):
    """The image cannot be written here: the fault of this machine, not of the job."""


class Server:
    """Sends requests to one server. Its key goes to that server only."""

    def __init__(self, base: str, key: str, *, ca_file: Optional[str] = None, insecure: bool = False):
        """`insecure` allows plain HTTP to another machine. Raises `ModelError` where that is not allowed."""
        self.base, self._key = base.rstrip("/"), key
        self._parts = urllib.parse.urlsplit(self.base)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise ModelError("%r is not the address of a server: write http://… or https://…" % base)
        if self._parts.scheme == "http" and not insecure and not on_this_machine(self._parts.hostname):
            raise ModelError("%s would send the key and photographs in clear over the network: use https://, or, where nobody "
                             "can listen on the way, --insecure" % self.base)
        self._trust = ssl.create_default_context(cafile=ca_file) if self._parts.scheme == "https" or ca_file else None
        self._mine = threading.local()
        self._waiting: Dict[int, http.client.HTTPConnection] = {}  # by thread, while it waits for an answer
        self._away = False

    def once(self, method: str, path: str, body: Optional[bytes] = None, timeout_s: float = TIMEOUT_S) -> Any:
        """One request and its JSON (None for an empty answer). Raises `Failure`."""
        return self._json(method, path, body, timeout_s)

    def _json(self, method: str, path: str, body: Body, timeout_s: float) -> Any:
        answer = self._send(method, path, body, timeout_s)
        try:
            data = answer.read()
            return json.loads(data) if data else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop()
            raise Busy("%s %s: the answer is not Darkroom's (%s)" % (method, path, error)) from error

    def call(self, method: str, path: str, body: Optional[bytes] = None, timeout_s: float = TIMEOUT_S,
             wanted: Callable[[], bool] = lambda: True) -> Any:
        """The same request until it is answered; None when it is no longer wanted."""
        return self._patiently(lambda: self.once(method, path, body, timeout_s), wanted)

    def fetch(self, url: str, file: BinaryIO, digest: Optional[str], wanted: Callable[[], bool], algorithm: str = "md5") -> bool:
        """Downloads into `file`; False when no longer wanted. `digest` None: the SHA-256 that the answer names (`Repr-Digest`).
        Raises `DiskFull`, and `Refused` when what comes has not this digest again and again, or another host does not answer."""
        left = FETCH_TRIES

        def attempt() -> bool:
            nonlocal left
            try:
                return self._fetch_once(url, file, digest, algorithm)
            except Busy as busy:
                left -= not self._is_ours(url) or isinstance(busy, OtherBytes)
                if left <= 0:
                    raise Refused(str(busy)) from busy
                raise
        return bool(self._patiently(attempt, wanted))

    def upload(self, path: str, file: str, wanted: Callable[[], bool]) -> Any:
        """Sends a file's bytes until they are taken; None when no longer wanted."""
        def attempt() -> Any:
            with open(file, "rb") as body:
                return self._json("PUT", path, body, UPLOAD_TIMEOUT_S)
        return self._patiently(attempt, wanted)

    def hang_up(self, thread: threading.Thread) -> None:
        """Breaks the request that a thread waits for, if it does; it sees `Busy`."""
        connection = self._waiting.pop(thread.ident or 0, None)
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def _url(self, path: str) -> str:
        rooted = path.startswith("/") and not path.startswith("//")
        return self.base + path if rooted else urllib.parse.urljoin(self.base + "/", path)

    def _is_ours(self, path: str) -> bool:
        return urllib.parse.urlsplit(self._url(path))[:2] == self._parts[:2]

    def _patiently(self, attempt: Callable[[], Any], wanted: Callable[[], bool]) -> Any:
        tries = 0
        while wanted():
            try:
                answer = attempt()
                if self._away:
                    self._away = False
                    log.info("the server answers again")
                return answer
            except Busy as busy:
                if not wanted():
                    return None
                pause_s, tries = busy.pause_s(tries), tries + 1
                if tries > 1 or busy.retry_after_s:
                    self._away = True
                    log.warning("%s; trying again in %.1f s", busy, pause_s)
                until = time.monotonic() + pause_s
                while wanted() and time.monotonic() < until:
                    time.sleep(min(0.1, max(0.0, until - time.monotonic())))
        return None

    def _fetch_once(self, url: str, file: BinaryIO, digest: Optional[str], algorithm: str) -> bool:
        answer = self._send("GET", url, None, TIMEOUT_S)
        named = digest or _named_sha256(answer.headers.get("Repr-Digest", ""))
        found = hashlib.new(algorithm if digest else "sha256", usedforsecurity=False)
        try:
            file.seek(0)
            for chunk in iter(lambda: answer.read(CHUNK), b""):
                found.update(chunk)
                try:
                    file.write(chunk)
                except OSError as error:
                    raise DiskFull(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise Busy("GET %s: %s" % (url, error)) from error
        finally:
            if not answer.isclosed():
                self._drop()
        try:
            file.truncate()
            file.flush()
        except OSError as error:
            raise DiskFull(str(error)) from error
        if found.hexdigest() != named:
            raise OtherBytes("GET %s: these are not the bytes that it names" % url)
        return True

    def _send(self, method: str, path: str, body: Body, timeout_s: float, hops: int = 3
              ) -> http.client.HTTPResponse:
        """The head of a successful answer; its body is still to be read."""
        url = self._url(path)
        parts, ours = urllib.parse.urlsplit(url), self._is_ours(path)
        if not ours and method != "GET":
            raise Busy("%s %s would leave the server" % (method, url))
        headers = {"Authorization": "Bearer " + self._key} if ours else {}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
        elif body is not None:
            headers.update({"Content-Type": "application/octet-stream", "Content-Length": str(os.fstat(body.fileno()).st_size)})
        try:
            answer = self._exchange(parts, method, body, headers, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise Busy("%s %s: %s" % (method, url, error or type(error).__name__)) from error
        if 200 <= answer.status < 300:
            return answer
        target = answer.headers.get("Location")
        failure = self._failure(method, path, answer)
        if method == "GET" and target and hops and answer.status in (301, 302, 303, 307, 308):
            return self._send(method, urllib.parse.urljoin(url, target), None, timeout_s, hops - 1)
        raise failure

    def _exchange(self, parts: urllib.parse.SplitResult, method: str, body: Body, headers: Dict[str, str],
                  timeout_s: float) -> http.client.HTTPResponse:
        """Sends over this thread's connection. One that the server has closed meanwhile is made anew, once: every
        request of the protocol may come twice."""
        while True:
            connection, prefix, fresh = self._connection(parts, timeout_s)
            me = threading.get_ident()
            try:
                connection.timeout = timeout_s
                if connection.sock is not None:
                    connection.sock.settimeout(timeout_s)
                if body is not None and not isinstance(body, bytes):
                    body.seek(0)
                target = parts.path + ("?" + parts.query if parts.query else "")
                connection.request(method, prefix + target, body, headers)
                self._waiting[me] = connection
                return connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine):
                self._drop()
                if fresh or me not in self._waiting:  # what was hung up is not sent again
                    raise
            except BaseException:
                self._drop()
                raise
            finally:
                self._waiting.pop(me, None)

    def _connection(self, parts: urllib.parse.SplitResult, timeout_s: float
                    ) -> Tuple[http.client.HTTPConnection, str, bool]:
        """This thread's connection to a host, what stands before the path on it, and whether it is new."""
        kept = getattr(self._mine, "kept", None)
        if kept is not None and kept[0] == parts[:2]:
            return kept[1], kept[2], False
        self._drop()
        host, port, prefix = str(parts.hostname), parts.port, ""
        proxy = urllib.request.getproxies().get(parts.scheme)
        via = None
        if proxy and not on_this_machine(host) and not urllib.request.proxy_bypass(host):
            via = urllib.parse.urlsplit(proxy if "//" in proxy else "//" + proxy)
            prefix = "" if parts.scheme == "https" else "http://" + parts.netloc
        to, at = (str(via.hostname), via.port) if via else (host, port)
        made: http.client.HTTPConnection
        if parts.scheme == "https":
            made = http.client.HTTPSConnection(to, at, timeout=timeout_s, context=self._trust)
            if via:
                made.set_tunnel(host, port)
        else:
            made = http.client.HTTPConnection(to, at, timeout=timeout_s)
        self._mine.kept = (parts[:2], made, prefix)
        return made, prefix, True

    def _drop(self) -> None:
        kept, self._mine.kept = getattr(self._mine, "kept", None), None
        if kept is not None:
            kept[1].close()

    def _failure(self, method: str, path: str, answer: http.client.HTTPResponse) -> Failure:
        """What an answer that is no success means; its body is read, so that the connection can be used again."""
        try:
            data = answer.read()
        except (OSError, http.client.HTTPException):
            data = b""
            self._drop()
        status, after = answer.status, answer.headers.get("Retry-After", "")
        kind = (Gone if status == 410 else Revoked if status in (401, 403) else
                Refused if 400 <= status < 500 and status not in (408, 425, 429) else Busy)
        moved = answer.headers.get("Location") if 300 <= status < 400 else None
        why = "the server says that it is at %s: name that one, if it is true" % moved if moved else _problem(data) or answer.reason
        message = "%s %s: %d %s" % (method, path, status, why)
        return kind(message, status, float(after) if after.isdigit() else 0.0)


def _named_sha256(header: str) -> str:
    """The SHA-256 in a `Repr-Digest`, as hexadecimal digits (RFC 9530); nothing where there is none."""
    for one in header.split(","):
        algorithm, _, value = one.strip().partition("=")
        with contextlib.suppress(ValueError):
            if algorithm.lower() == "sha-256":
                return base64.b64decode(value.strip(":"), validate=True).hex()
    return ""


def _problem(data: bytes) -> str:
    """What a problem document says: its detail, and what to do."""
    with contextlib.suppress(ValueError, AttributeError):
        problem = json.loads(data)
        return " ".join(filter(None, [problem.get("detail") or problem.get("title"), problem.get("mend")]))
    return data[:200].decode("utf-8", "replace")


def on_this_machine(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
