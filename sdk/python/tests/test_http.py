"""The way to the server, beside what the tests of `run` show of it: proxies, TLS, addresses, patience."""
import base64
import hashlib
import http.server
import io
import shutil
import ssl
import subprocess
import threading

import pytest

from darkroom_worker.errors import ModelError
from darkroom_worker.http import PAUSE_S, Busy, Refused, Server


@pytest.fixture
def listener():
    """A server that answers {} to everything and remembers what it was asked: listener(context) → (port, asked)."""
    servers = []

    def start(context=None):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                asked.append((self.path, self.client_address))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                if self.path.startswith("/named/"):
                    self.send_header("Repr-Digest", "md5=:AA==:, sha-256=:%s:" % self.path[len("/named/"):])
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server.server_port, asked
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_one_connection_is_kept_and_a_path_before_the_routes_too(listener):
    port, asked = listener()
    server = Server("http://localhost:%d/darkroom/" % port, "k")
    for _ in range(3):
        assert server.once("GET", "/workers") == {}
    assert {path for path, _ in asked} == {"/darkroom/workers"} and len({client for _, client in asked}) == 1


def test_what_comes_has_the_checksum_that_the_answer_names(listener, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)
    server, file = Server("http://127.0.0.1:%d" % listener()[0], "k"), io.BytesIO()
    named = base64.b64encode(hashlib.sha256(b"{}").digest()).decode()
    assert server.fetch("/named/" + named, file, None, lambda: True) and file.getvalue() == b"{}"
    for path in ("/named/AAAA", "/named/?", "/without"):
        with pytest.raises(Refused, match="not the bytes that it names"):
            server.fetch(path, file, None, lambda: True)


def test_a_proxy_is_used_as_the_environment_says(listener, monkeypatch):
    port, asked = listener()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:%d" % port)
    monkeypatch.delenv("no_proxy", raising=False)
    assert Server("http://server.example:8080", "k", insecure=True).once("GET", "/x?a=1") == {}
    assert asked[0][0] == "http://server.example:8080/x?a=1"
    with pytest.raises(Busy, match="refused"):  # this machine needs no proxy
        Server("http://127.0.0.1:1", "k").once("GET", "/x", timeout_s=1)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_only_trusted_certificates_are_taken(listener, tmp_path):
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port, asked = listener(context)
    with pytest.raises(Busy, match="certificate"):
        Server("https://localhost:%d" % port, "k").once("GET", "/x")
    assert Server("https://localhost:%d" % port, "k", ca_file=certificate).once("GET", "/x") == {} and len(asked) == 1


def test_addresses_that_would_give_the_key_away_are_refused():
    for base, why in [("http://198.51.100.7", "in clear"), ("http://server.example", "in clear"), ("server:8080", "write http://"),
                      ("", "write http://")]:
        with pytest.raises(ModelError, match=why):
            Server(base, "k")
    for base in ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://server.example"):
        Server(base, "k")


def test_other_bytes_than_the_images_are_refused_at_last(listener, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)
    port, asked = listener()
    with pytest.raises(Refused, match="not the bytes that it names"):
        Server("http://127.0.0.1:%d" % port, "k").fetch("/images/x/content", io.BytesIO(), "0" * 32, lambda: True)
    assert len(asked) == 4


def test_pauses_are_jittered_bounded_and_never_shorter_than_asked():
    for tries in (0, 3, 100):
        pauses = [Busy("").pause_s(tries) for _ in range(200)]
        assert 0 <= min(pauses) <= max(pauses) <= min(PAUSE_S[1], PAUSE_S[0] * 2 ** tries) and len(set(pauses)) > 100
    assert all(Busy("", 503, 20.0).pause_s(0) == 20.0 for _ in range(20))
