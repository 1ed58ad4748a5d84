"""The HTTP side of the in-memory server: routes, credentials, bodies, problem documents, and the faults it is told to show."""
from __future__ import annotations

import json
import re
import select
import socket
import struct
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from . import read
from .faults import Trouble
from .jobs import Key
from .problems import Fault

if TYPE_CHECKING:
    from .server import Server

BODY_BYTES_MAX = 16 * 1024 * 1024
GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
# (method, path, operation)
ROUTES = (
    ("POST", r"/workers/register", "register"), ("POST", r"/workers/([^/]+)/heartbeat", "beat"), ("DELETE", r"/workers/([^/]+)", "leave"),
    ("POST", r"/jobs/claim", "claim"), ("POST", r"/jobs/complete", "complete"), ("POST", r"/jobs/release", "release"),
    ("GET", r"/images/([^/]+)/content", "image"), ("HEAD", r"/images/([^/]+)/content", "image"),
)
BODIES = {"register": read.REGISTER, "beat": read.BEAT, "claim": read.CLAIM, "complete": read.COMPLETE, "release": read.RELEASE}


@dataclass
class Request:
    """One request as it was met, for tests to look at."""

    at: float  # monotonic, in seconds, when it came
    method: str
    path: str
    operation: Optional[str]
    headers: Dict[str, str]  # names in lower case
    body: Any = None  # as JSON, if it was
    status: Optional[int] = None  # null while it is answered, and when the connection was cut
    answer: Any = None
    ended_at: Optional[float] = None
    fault: Optional[str] = None  # the kind of fault it met


@dataclass
class Reply:
    status: int
    body: bytes = b""
    headers: Dict[str, str] = field(default_factory=dict)
    told: Any = None


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "darkroom-testing"
    disable_nagle_algorithm = True
    timeout = 120  # seconds that a client may be silent
    owner: "Server"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: `Server.requests` has it all."""

    def handle(self) -> None:
        self.owner.connected(self.connection)
        try:
            super().handle()
        except (OSError, ValueError):
            pass  # the client went away
        finally:
            self.owner.disconnected(self.connection)

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = do_GET

    def _serve(self) -> None:
        started, path = time.monotonic(), self.path.split("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(started, self.command, self.path, None, headers)
        found = [(name, match) for method, route, name in ROUTES
                 for match in [re.fullmatch(route, path)] if match and method == self.command]
        operation, arguments = (found[0][0], found[0][1].groups()) if found else (None, ())
        request.operation = operation
        body = self._body()
        trouble = self.owner.troubles.take(operation) if operation else None
        request.fault = trouble.kind if trouble else None
        request.body = _loads(body)
        self.owner.note(request)
        if trouble and self._troubled(trouble, request):
            return
        reply = self._answer(request, operation, arguments, body)
        if trouble and trouble.late:
            return self._reset()
        self._send(reply, request)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            whole = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                whole += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return whole
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _troubled(self, trouble: Trouble, request: Request) -> bool:
        """Shows the fault; false if the request is to be carried out all the same."""
        if trouble.kind == "delay":
            self.owner.pause(trouble.seconds, trouble.until)
            return False
        if trouble.late:
            return False
        if trouble.kind == "reset":
            self._reset()
        elif trouble.kind == "garbage":
            self._send(Reply(200, GARBAGE, {"Content-Type": "text/html"}), request)
        elif trouble.kind == "redirect":
            self._send(Reply(307, b"", {"Location": trouble.url + self.path}), request)
        else:
            code = {429: "too_many_requests", 503: "unavailable"}.get(trouble.status, "internal")
            reply = _problem(Fault(code, "The test server was told to."), request)
            reply.status = trouble.status
            if trouble.retry_after_s is not None:
                reply.headers["Retry-After"] = "%g" % trouble.retry_after_s
            self._send(reply, request)
        return True

    def _reset(self) -> None:
        """Cuts the connection without a word."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _send(self, reply: Reply, request: Request) -> None:
        request.status, request.answer, request.ended_at = reply.status, reply.told, time.monotonic()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    # --- the answers

    def _answer(self, request: Request, operation: Optional[str], arguments: Tuple[str, ...], body: bytes) -> Reply:
        try:
            if operation is None:
                known = any(re.fullmatch(route, request.path.split("?")[0]) for _, route, _ in ROUTES)
                raise Fault("method_not_allowed", "The path exists, but not with this method.") if known else Fault("not_found", "There is no such path.")
            key = self._key()
            if operation == "image" and key.service != "predict":
                raise Fault("wrong_service", "The key is of service type %s; this needs predict." % key.service)
            if operation == "image":
                return self._image(key, arguments[0].lower(), request.headers)
            worker = _in_path(arguments[0]) if arguments else ""
            said = self._said(operation, body) if operation in BODIES else {}
            return self._json(*self._act(operation, key, worker, said))
        except Fault as fault:
            return _problem(fault, request)

    def _key(self) -> Key:
        scheme, _, token = self.headers.get("Authorization", "").strip().partition(" ")
        sent = token.strip() if scheme.lower() == "bearer" else None
        sent = sent or self.headers.get("X-API-Key") or self.headers.get("api_key")
        if sent is None:
            raise Fault("missing_credential", "The request names no caller.")
        key = self.owner.book.keys.get(sent)
        if key is None:
            raise Fault("unknown_credential", "The API key is not known here.")
        if key.revoked:
            raise Fault("disabled_credential", "The API key is disabled.")
        return key

    def _said(self, operation: str, body: bytes) -> Dict[str, Any]:
        query = self.path.partition("?")[2]
        if query:
            field = re.split("[=&]", query)[0]
            raise Fault("unknown_field", "Wrong query: unknown field `%s`; this operation takes none." % field, "/" + field, "query")
        if self.headers.get_content_type() != "application/json":
            raise Fault("unsupported_media_type", "The body is not declared as JSON.")
        if len(body) > BODY_BYTES_MAX:
            raise Fault("too_large", "The body is over the size limit of this operation.")
        return dict(BODIES[operation](read.parse(body), ""))

    def _act(self, operation: str, key: Key, worker: str, said: Dict[str, Any]) -> Tuple[int, Optional[Dict[str, Any]]]:
        book = self.owner.book
        if operation == "register":
            session, new = book.register(key, said)
            return 201 if new else 200, {
                "worker": session.id, "service": "predict", "model": session.model, "dataset": None, "version": said["version"],
                "heartbeat_s": book.heartbeat_s, "lease_s": book.lease_s, "max_result_bytes": book.max_result_bytes}
        if operation == "beat":
            stop, drain = book.beat(key, worker, said)
            return 200, {"next_s": book.heartbeat_s, "lease_s": book.lease_s, "drain": drain, "stop": stop}
        if operation == "leave":
            book.leave(key, worker)
            return 204, None
        if operation == "claim":
            jobs, drain = book.claim(key, dict(said), self._there)
            return 200, {"claim_id": said["claim_id"], "drain": drain, "jobs": jobs}
        if operation == "release":
            return 200, {"items": book.release(key, said["worker"], said["items"]), "claimed": None}
        items, claimed = book.complete(key, said["worker"], said["items"]), None
        if said["claim"] is not None:
            ask = dict(said["claim"], worker=said["worker"], wait_s=0.0, min=1, linger_s=0.0)
            try:
                jobs, drain = book.claim(key, ask, self._there)
            except Fault:
                jobs, drain = [], False  # the items are committed: nothing may hide what became of them
            claimed = {"claim_id": ask["claim_id"], "drain": drain, "jobs": jobs}
        return 200, {"items": items, "claimed": claimed}

    def _there(self) -> bool:
        """Whether the client still listens."""
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return not readable or bool(self.connection.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):
            return False

    def _json(self, status: int, told: Optional[Dict[str, Any]]) -> Reply:
        if told is None:
            return Reply(status)
        told = dict(told, **self.owner.extra)
        return Reply(status, json.dumps(told).encode(), {"Content-Type": "application/json", "X-Request-Id": str(uuid.uuid4())}, told)

    def _image(self, key: Key, md5: str, headers: Dict[str, str]) -> Reply:
        if not re.fullmatch("[0-9a-f]{32}", md5):
            raise Fault("invalid_hash", "%r is not an MD5." % md5, "/md5", "path")
        photo = self.owner.photo(key, md5)
        if photo is None:
            raise Fault("not_found", "There is no such image, or it is not yours to see.")
        etag, content, status = '"%s"' % photo.sha256, photo.content, 200
        about = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600", "Content-Type": photo.media_type,
                 "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
        if headers.get("if-none-match") == "*" or etag in headers.get("if-none-match", ""):
            return Reply(304, b"", about)
        part = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
        if part and any(part.groups()) and headers.get("if-range", etag) == etag:
            size, (first, last) = len(content), part.groups()
            start = int(first) if first else max(0, size - int(last))
            end = min(size, int(last) + 1) if first and last else size
            if start >= end:
                reply = _problem(Fault("range_not_satisfiable", "The image has %d bytes." % size), None)
                reply.headers["Content-Range"] = "bytes */%d" % size
                return reply
            about["Content-Range"] = "bytes %d-%d/%d" % (start, end - 1, size)
            content, status = content[start:end], 206
        return Reply(status, content, about)


def _problem(fault: Fault, request: Optional[Request]) -> Reply:
    id = str(uuid.uuid4())
    told = fault.document(id)
    headers = {"Content-Type": "application/problem+json", "X-Request-Id": id}
    if fault.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if request is not None and request.fault is None and fault.retry_after_s is not None:
        headers["Retry-After"] = str(fault.retry_after_s)
    return Reply(fault.status, json.dumps(told).encode(), headers, told)


def _in_path(id: str) -> str:
    try:
        return read.uid(id, "")
    except Fault as fault:
        fault.place = "path"
        raise


def _loads(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
