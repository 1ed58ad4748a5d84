"""`darkroom-worker bridge --listen`: microservices that register themselves appear, are served, and disappear."""
import json
import re
import threading
import urllib.error
import urllib.request

import pytest
from pushed import Pushed, multipart
from serving import Server, Serving, asked, png

from darkroom_worker.bridge.listen import networks
from darkroom_worker.cli import main
from darkroom_worker.errors import ModelError

# in each bridge that it starts
OFTEN = "from darkroom_worker.bridge import listen\nlisten.BOOT = 'from darkroom_worker.bridge import remote; remote.LOOK_S = (0.1, 0.3); ' + listen.BOOT"
KEY = "the key of the microservices"


@pytest.fixture
def server():
    with Server(lease_s=30) as server:  # which a slow machine outlives
        yield server


@pytest.fixture
def listen(server, tmp_path):
    """Starts a listening bridge; listen("--flag", …) → (the process, register(body, key=…) → status and answer)."""
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "tmp").mkdir()
    started = []

    def listen(*flags):
        worker = Serving(server, "--listen", "127.0.0.1:0", "--listen-key-file", tmp_path / "key", *flags, command="bridge", before=OFTEN,
                         TMPDIR=str(tmp_path / "tmp"))
        started.append(worker)
        worker.hears(r"may register at port \d+")
        port = int(re.search(r"at port (\d+)", worker.said).group(1))

        def register(body, key=KEY, path="/model/register"):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), data, {"api_key": key} if key else {})
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)
        return worker, register
    yield listen
    for worker in started:
        worker.signal()
        worker.signal()
        try:
            worker.process.wait(10)
        finally:
            worker.kill()


def test_they_appear_when_they_register_and_are_served(server, listen):
    with multipart() as pushed:
        worker, register = listen()
        for body, name in [({"name": "Object Detection", "socket": "127.0.0.1:%d" % pushed.port}, "object_detection"),
                           ({"modelName": "b", "modelSocket": "http://localhost:%d/" % pushed.port}, "b"),
                           ({"name": "c", "port": pushed.port}, "c"), ({"modelName": "d", "modelPort": str(pushed.port)}, "d"),
                           ({"name": "e", "socket": "[::ffff:127.0.0.1]:%d" % pushed.port}, "e")]:
            assert register(body) == (200, {"status": "success", "model": name,
                                            "detail": "Model has been successfully registered to server."})
            assert register(body)[1]["detail"] == "Model has already been registered."
        photo = png(9, 8)
        jobs = [server.add(photo, model=name) for name in ("object_detection", "b", "c", "d", "e")]
        assert all(server.wait(job).result["fields"]["bytes"] == len(photo) for job in jobs)
        assert len(asked(server, "register")) == 5 and KEY not in "".join(str(request.headers) for request in pushed.requests)
        worker.signal()
        worker.ends(0)
        assert not server.workers()


def test_it_disappears_with_its_status_and_comes_back(server, listen):
    with multipart() as pushed:
        worker, register = listen("--leave-after", "1")
        ending = threading.Event()

        def again():  # as the microservices do
            while not ending.wait(0.3):
                register({"name": "m", "socket": "127.0.0.1:%d" % pushed.port})
        threading.Thread(target=again, daemon=True).start()
        server.wait(server.add(png(9, 8), model="m"))
        pushed.stop()
        server.until(lambda: not server.workers("m"), lambda: worker.said)
        worker.hears("has a bridge no more")
        pushed.start()
        assert server.wait(server.add(png(10, 8), model="m")).state == "succeeded"
        ending.set()


def test_two_microservices_of_one_name_are_not_mixed_up(server, listen):
    with multipart() as one, multipart() as other:
        _, register = listen()
        assert register({"name": "m", "port": one.port})[0] == 200
        status, told = register({"name": "m", "port": other.port})
        assert status == 409 and "served from http://127.0.0.1:%d" % one.port in told["detail"]
        assert register({"name": "n", "port": other.port})[0] == 200
        server.until(lambda: {s.model for s in server.workers()} == {"m", "n"}, lambda: str(server.workers()))


def test_what_is_not_allowed_is_refused_with_a_reason(server, listen, tmp_path):
    with multipart() as pushed, Pushed({"/status": lambda _: (302, b"", {"Location": pushed.url + "/status"})}) as astray:
        worker, register = listen()
        good = {"name": "m", "socket": "127.0.0.1:%d" % pushed.port}
        for body, options, status, said in [
                (good, {"key": "wrong"}, 401, "api_key"), (good, {"key": None}, 401, "api_key"), (good, {"path": "/x"}, 404, "/model/register"),
                ({**good, "socket": "192.0.2.7:80"}, {}, 403, "192.0.2.7 is at 192.0.2.7, which is in none of the networks"),
                ({**good, "socket": "169.254.169.254:80"}, {}, 403, "--allow"), ({**good, "socket": "0.0.0.0:80"}, {}, 403, "--allow"),
                ({**good, "socket": "[::ffff:192.0.2.7]:80"}, {}, 403, "--allow"),
                ({**good, "socket": "no.such.host.invalid:80"}, {}, 422, "cannot be found"),
                ({**good, "socket": "http://127.0.0.1:%d/elsewhere" % pushed.port}, {}, 422, "is not host:port"),
                ({**good, "socket": "http://user@127.0.0.1:80"}, {}, 422, "is not host:port"),
                ({**good, "socket": "127.0.0.1"}, {}, 422, "is not host:port"), ({**good, "socket": "file:///etc/passwd"}, {}, 422, "not host:port"),
                ({"name": "m", "port": 0}, {}, 422, "no port"), ({"name": "m", "port": "²"}, {}, 422, "`port` a number"),
                ({"name": "../../x", "port": 1}, {}, 422, "no model's name"), ({"port": 1}, {}, 422, "no model's name"),
                (b"not json", {}, 422, "no JSON object"), (b"[" * 9000, {}, 422, "no JSON object"), (b"x" * 20000, {}, 413, "16384"),
                ({"name": "m", "port": astray.port}, {}, 503, "which is not followed"), ({"name": "m", "port": 1}, {}, 503, "does not answer")]:
            got, told = register(body, **options)
            assert got == status and told["status"] == "failure" and said in told["detail"], (body, got, told)
        assert not pushed.requests and not server.requests


def test_networks_may_be_named(server, listen):
    with multipart() as pushed:
        _, register = listen("--allow", "192.0.2.0/24, 10.0.0.0/8")
        status, told = register({"name": "m", "port": pushed.port})
        assert status == 403 and "192.0.2.0/24, 10.0.0.0/8" in told["detail"]
    with pytest.raises(ModelError):
        networks("10.0.0.0/99")


def test_usage_of_listening_is_explained(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DARKROOM_API_KEY", "dr_key")
    (tmp_path / "empty").write_text("")
    for flags, said in [([], "needs --listen-key-file"), (["--listen-key-file", "/nowhere"], "cannot be read"),
                        (["--listen-key-file", str(tmp_path / "empty")], "is empty")]:
        assert main(["bridge", "--listen", "127.0.0.1:0", *flags]) == 2 and said in capsys.readouterr().err
