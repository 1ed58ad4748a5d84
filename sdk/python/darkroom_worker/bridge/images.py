"""The images in hand for a server that fetches them: each at an address that nobody can guess, while it is in hand."""
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Tuple

from ..errors import ModelError
from .client import NotReady
from .protocol import Call


class Images:
    """Serves on `address`, HOST:PORT; port 0 takes a free one."""

    def __init__(self, address: str):
        """Raises `NotReady` when it cannot listen there, `ModelError` when it is no address."""
        self._held: Dict[str, Call] = {}
        host, port = host_port(address)
        try:
            self._server = ThreadingHTTPServer((host, port), type("Connection", (Handler,), {"held": self._held}))
        except OSError as error:
            raise NotReady("images cannot be served at %s: %s" % (address, error)) from error
        self._server.daemon_threads = True
        self._root = "http://%s:%d/" % (host, self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def put(self, call: Call) -> str:
        """Serves an image; returns where."""
        path = "%s/%s" % (secrets.token_urlsafe(16), call.name)
        self._held["/" + path] = call
        return self._root + path

    def drop(self, address: str) -> None:
        """Serves it no more."""
        self._held.pop("/" + address[len(self._root):], None)

    def close(self) -> None:
        """Ends."""
        self._server.shutdown()
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    held: Dict[str, Call] = {}
    timeout = 30.0

    def do_GET(self) -> None:
        """The bytes."""
        call, data = self.held.get(self.path), b""
        try:
            data = Path(call.path).read_bytes() if call else b""
        except OSError:
            call = None  # it is done meanwhile
        self.send_response(200 if call else 404)
        self.send_header("Content-Type", call.media_type if call else "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def host_port(address: str) -> Tuple[str, int]:
    """`HOST:PORT`, or `[HOST]:PORT`, in its parts. Raises `ModelError`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ModelError("%r is no HOST:PORT" % address)
    return host.strip("[]"), int(port)
