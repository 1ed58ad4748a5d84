"""Microservices that register themselves: each is served by a bridge of its own, a process, as long as it is ready."""
import hmac
import http
import ipaddress
import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from ..errors import ModelError, Reject
from ..module import NAME
from ..process import PACKAGES
from .client import Client, NotReady, ServerError
from .images import host_port

log = logging.getLogger("darkroom")
PATH = "/model/register"
BODY_BYTES_MAX = 16 * 1024
STATUS_LIMIT_S = 5.0
LEAVE_S = 15.0  # a microservice whose /status does not answer for so long is gone; it registers again by itself
SERVICES_MAX = 64  # bridges at once, each a process of some 20 MB
LOOPBACK = "127.0.0.0/8,::1/128"
# A bridge is this very command; the folder of the package comes last on its path.
BOOT = "import sys; sys.path.append(%r); from darkroom_worker.cli import main; sys.exit(main(sys.argv[1:]))" % PACKAGES
NAMES, SOCKETS, PORTS = ("name", "modelName"), ("socket", "modelSocket"), ("port", "modelPort")

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class Refusal(Exception):
    """A registration that is not taken, with the status that says so."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Service(NamedTuple):
    """A microservice that has a bridge."""

    url: str
    process: "subprocess.Popen[bytes]"


class Listen:
    """Takes registrations, and owns the bridges."""

    def __init__(self, address: str, key_file: Optional[str], allow: Optional[str], said: Dict[str, Any]):
        """`said`: the options that each bridge is given too. Raises `ModelError`."""
        if not key_file:
            raise ModelError("--listen needs --listen-key-file: a file with the key that microservices send as `api_key`")
        try:
            self._key = Path(key_file).read_text("utf-8").strip().encode()
        except (OSError, ValueError) as error:
            raise ModelError("--listen-key-file %s cannot be read: %s" % (key_file, error)) from error
        if not self._key:
            raise ModelError("--listen-key-file %s is empty" % key_file)
        self.networks = networks(allow or LOOPBACK)
        self._said = said
        self._services: Dict[str, Service] = {}
        self._lock = threading.Lock()
        self._ending = False
        self._signals: "queue.SimpleQueue[int]" = queue.SimpleQueue()
        try:
            self._server = ThreadingHTTPServer(host_port(address), type("Connection", (Handler,), {"owner": self}))
        except OSError as error:
            raise ModelError("--listen %s: %s" % (address, error)) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def main(self) -> int:
        """Serves until it is told to end: the first signal lets the bridges finish, the second has them give back."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self._signals.put(number))
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        log.info("microservices may register at port %d, from %s", self.port, ", ".join(map(str, self.networks)))
        while not self._wait(0.5):
            self._bury()
        with self._lock:
            self._ending = True
        self._signal_all()
        while self._living():
            if self._wait(0.1):
                self._signal_all()
        self._server.shutdown()
        return 0

    def _wait(self, seconds: float) -> bool:
        try:
            return bool(self._signals.get(timeout=seconds))
        except queue.Empty:
            return False

    def _living(self) -> List[Service]:
        with self._lock:
            return [service for service in self._services.values() if service.process.poll() is None]

    def _signal_all(self) -> None:
        for service in self._living():
            service.process.send_signal(signal.SIGTERM)

    def _bury(self) -> None:
        with self._lock:
            for name, service in list(self._services.items()):
                code = service.process.poll()
                if code is not None:
                    log.info("%s at %s has a bridge no more (exit code %s)", name, service.url, code)
                    del self._services[name]

    # --- registrations, in the threads of their connections

    def knows(self, key: str) -> bool:
        """Whether this is the key, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(key.encode("utf-8", "replace"), self._key)

    def register(self, body: bytes, peer: str) -> Tuple[str, str]:
        """Takes a registration; returns the model's name, and a sentence. Raises `Refusal`."""
        name, url = self._read(body, peer)
        with self._lock:
            known = self._services.get(name)
            if known is not None and known.process.poll() is None:
                if known.url == url:
                    return name, "Model has already been registered."
                raise Refusal(409, "the model %s is served from %s: one of the two needs another name" % (name, known.url))
        try:
            Client(url).ask("GET", "/status", limit_s=STATUS_LIMIT_S).good()
        except (NotReady, ServerError, Reject) as error:
            raise Refusal(503, "%s is not ready: %s" % (url, error)) from error
        with self._lock:
            self._start(name, url)
        return name, "Model has been successfully registered to server."

    def _start(self, name: str, url: str) -> None:
        known = self._services.get(name)
        if self._ending:
            raise Refusal(503, "the bridge is ending")
        if known is not None and known.process.poll() is None:
            return  # registered twice at once
        if len(self._services) >= SERVICES_MAX:
            raise Refusal(503, "there are %d microservices already, which is the most" % SERVICES_MAX)
        options = {"--protocol": "multipart", "--leave-after": LEAVE_S, **_given(self._said), "--url": url, "--name": name}
        arguments = [text for option, value in options.items() for text in ([option] if value is True else [option, str(value)])]
        environment = {variable: value for variable, value in os.environ.items() if variable != "DARKROOM_LISTEN_AT"}
        log.info("%s registered from %s", name, url)
        self._services[name] = Service(url, subprocess.Popen([sys.executable, "-c", BOOT, "bridge", *arguments], env=environment,
                                                             stdin=subprocess.DEVNULL, start_new_session=True))

    def _read(self, body: bytes, peer: str) -> Tuple[str, str]:
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise Refusal(422, "the body is no JSON object")
        name, at, port = (next((told[key] for key in keys if key in told), None) for keys in (NAMES, SOCKETS, PORTS))
        name = re.sub(r"\s+", "_", name.strip().lower()) if isinstance(name, str) else ""
        if not NAME.fullmatch(name):
            raise Refusal(422, "`name` is no model's name: up to 64 lower-case letters, digits, and _ . - inside")
        if isinstance(at, str) and at:
            host, number = _host_port(at)
        elif at is None and str(port).isdecimal():
            host, number = peer, int(str(port))
        else:
            raise Refusal(422, "`socket` must be host:port, or `port` a number")
        if not 0 < number < 65536:
            raise Refusal(422, "%d is no port" % number)
        return name, self._resolved(host, number)

    def _resolved(self, host: str, port: int) -> str:
        """The URL of an address that is allowed. What was checked is what will be called: the name is not asked for again."""
        try:
            found = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            raise Refusal(422, "the address of %s cannot be found: %s" % (host[:200], error)) from error
        for text in found:
            address = _plain(str(text))
            if any(address in network for network in self.networks):
                return "http://%s:%d" % ("[%s]" % address if address.version == 6 else address, port)
        raise Refusal(403, "%s is at %s, which is in none of the networks that --allow names (%s)" % (
            host[:200], ", ".join(map(str, found)), ", ".join(map(str, self.networks))))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    owner: Listen
    timeout = 15.0

    def do_POST(self) -> None:
        """A registration."""
        try:
            if self.path.rstrip("/") != PATH:
                raise Refusal(404, "only POST %s is known here" % PATH)
            if not self.owner.knows(self.headers.get("api_key") or ""):
                raise Refusal(401, "the header api_key does not hold the key of --listen-key-file")
            length = self.headers.get("Content-Length") or ""
            if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
                raise Refusal(413, "the body must have a length, of at most %d bytes" % BODY_BYTES_MAX)
            name, detail = self.owner.register(self.rfile.read(int(length)), str(self.client_address[0]))
            self._answer(200, {"status": "success", "model": name, "detail": detail})
        except Refusal as refusal:
            log.warning("a registration from %s is refused: %s", self.client_address[0], refusal)
            self._answer(refusal.status, {"status": "failure", "detail": str(refusal)})

    def _answer(self, status: int, told: Dict[str, str]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status, http.HTTPStatus(status).phrase)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def networks(text: str) -> List[Network]:
    """Networks as `10.0.0.0/8,fd00::/8`. Raises `ModelError`."""
    try:
        return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ModelError("--allow: %s" % error) from error


def _given(said: Dict[str, Any]) -> Dict[str, Any]:
    return {option: value for option, value in said.items()
            if value is not None and not option.startswith(("--listen", "--allow", "--url", "--name", "--ready-file", "--model", "--protocol"))}


def _plain(text: str) -> Address:
    """An address; one of version 4 that is written as one of version 6 is of version 4."""
    address = ipaddress.ip_address(text.split("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _host_port(text: str) -> Tuple[str, int]:
    """`host:port`, or `http://host:port` and nothing behind it."""
    parts = urllib.parse.urlsplit(text if "//" in text else "//" + text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("", "http") or not parts.hostname or port is None or parts.path.strip("/") or parts.query or parts.username:
        raise Refusal(422, "%r is not host:port" % text[:200])
    return parts.hostname, port
