"""`darkroom-worker bridge` between a real server, if the environment names one (see `sides.Real`), and servers that expect to be called."""
import json
import os
import pathlib
import re
import time
import urllib.request
import uuid

import pytest
from pushed import COG_SCHEMA, HTML, Pushed, cog, hangs, kserve, labelstudio, md5, multipart
from serving import Serving, png
from sides import Real, ask

pytestmark = pytest.mark.skipif("DARKROOM_TEST_URL" not in os.environ, reason="needs a real server")
WAIT_S = 60
PHOTOS = sorted(path for path in (pathlib.Path(__file__).resolve().parents[3] / "examples/photos").iterdir() if path.suffix in (".jpg", ".png"))
OFTEN = "from darkroom_worker.bridge import remote\nremote.LOOK_S = (0.1, 0.3)"  # is the model server asked whether it is ready
LISTEN_KEY = "the key of the microservices"


class Desk:
    """The real server, for what a test submits to one model, and looks up."""

    def __init__(self, model):
        self.side, self.model = Real(), model
        self.key = self.side.key(model)

    def environment(self):
        """What `Serving` gives the bridge."""
        return {"DARKROOM_URL": self.side.url, "DARKROOM_API_KEY": self.key}

    def get(self, path):
        status, told, _ = ask(self.side.url, "GET", path, headers=self.side.user)
        assert status == 200, (path, told)
        return told

    def add(self, photo=None, **params):
        """Submits a photograph that nobody has, or this one; answers the job's id."""
        return self.side.submit(photo or png(8, 8) + uuid.uuid4().bytes, self.model, params=params)

    def patient(self):
        """A failed attempt is followed by the next one soon."""
        status, told, _ = ask(self.side.url, "PATCH", "/models/" + self.model, {"backoff_base_s": 0.1}, self.side.user)
        assert status == 200, told

    def until(self, holds, said):
        """What `holds()` answers, as soon as it is something."""
        give_up = time.monotonic() + WAIT_S
        while time.monotonic() < give_up:
            found = holds()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(said())

    def ended(self, job, worker):
        """The job, which ends."""
        return self.until(lambda: (lambda told: told if told["state"] not in ("queued", "running") else None)(self.get("/jobs/" + job)),
                          lambda: "%s\n%s" % (self.get("/jobs/" + job), worker.said))

    def result(self, job, photo):
        return self.side.result(job, md5(photo))

    def workers(self):
        return [one for one in self.get("/workers?model=" + self.model)["items"] if one["alive"]]

    def trouble(self, worker):
        """Why its only worker serves nothing, once it says so."""
        return self.until(lambda: self.workers() and self.workers()[0]["trouble"], lambda: worker.said)

    def calm(self, worker):
        self.until(lambda: self.workers() and not self.workers()[0]["trouble"], lambda: worker.said)


@pytest.fixture
def bridge(tmp_path):
    """Starts a bridge: bridge("cog", pushed, "--flag", …) → (what is asked of the real server, the bridge)."""
    started = []

    def bridge(protocol, pushed, *flags):
        desk = Desk("bridge_" + uuid.uuid4().hex[:8])
        (tmp_path / "tmp").mkdir(exist_ok=True)
        started.append(Serving(desk, "--protocol", protocol, "--url", pushed.url, "--name", desk.model, *flags, command="bridge",
                               before=OFTEN, TMPDIR=str(tmp_path / "tmp"), DARKROOM_READY_FILE=str(tmp_path / "ready")))
        return desk, started[-1]
    yield bridge
    for worker in started:
        worker.kill()


@pytest.mark.parametrize("protocol, made, flags", [
    ("multipart", multipart, ()), ("cog", cog, ()), ("kserve", kserve, ("--model", "m")),
    ("kserve", kserve, ("--model", "m", "--image", "binary")), ("labelstudio", labelstudio, ("--field", "photo"))])
def test_photographs_go_through_and_their_results_come_back(bridge, protocol, made, flags):
    with made() as pushed:
        desk, worker = bridge(protocol, pushed, *flags)
        worker.hears("registered")
        photos = [path.read_bytes() for path in PHOTOS]
        params = {"kind": "a"} if protocol == "cog" else {}
        jobs = [desk.add(photo, **params) for photo in photos]
        for job, photo in zip(jobs, photos):
            ended = desk.ended(job, worker)
            assert (ended["state"], ended["attempt"]) == ("succeeded", 1), worker.said
            assert md5(photo) in json.dumps(desk.result(job, photo)), "the bytes are those that were sent"
        assert not any(desk.key in str(request.headers) for request in pushed.requests), "the key is Darkroom's alone"
        worker.signal()
        worker.ends(0)
        assert not desk.workers()


def test_what_a_multipart_server_does_wrong_ends_no_job_that_could_be_done(bridge):
    with Pushed({".*": lambda _: {"stolen": True}}) as elsewhere, multipart() as pushed:
        good = pushed.answers["/predict"]
        desk, worker = bridge("multipart", pushed, "--timeout", "1")
        worker.hears("registered")
        desk.patient()
        # Tried again: what it did the first time, and how the attempt is told.
        for wrong, kind, said in [(lambda _: (500, {"detail": "CUDA out of memory"}), "ServerError", "500 CUDA out of memory"),
                                  (lambda _: (200, HTML, {"Content-Type": "text/html"}), "BadAnswer", "not JSON"),
                                  (lambda _: None, "CutOff", "ended early"), (hangs(2), "TimedOut", "no answer in 1 s")]:
            left = [wrong]
            pushed.answers["/predict"] = lambda request, left=left: (left.pop() if left else good)(request)
            ended = desk.ended(desk.add(), worker)
            assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
            first = ended["attempts"][0]
            assert (first["outcome"], first["error_type"]) == ("retry", kind) and said in first["error_message"], first
        # Never again.
        pushed.answers["/predict"] = lambda _: (422, {"detail": "too small"})
        ended = desk.ended(desk.add(), worker)
        assert (ended["state"], ended["reason"]) == ("failed", "rejected") and "422 too small" in ended["error"]["message"], ended
        # A redirect is not followed, and costs nothing.
        pushed.answers["/predict"] = lambda _: (302, b"", {"Location": elsewhere.url + "/predict"})
        job = desk.add()
        assert "redirects to %s/predict, which is not followed" % elsewhere.url in desk.trouble(worker)
        pushed.answers["/predict"] = good
        ended = desk.ended(job, worker)
        assert (ended["state"], ended["attempt"]) == ("succeeded", 1) and not elsewhere.requests, ended
        desk.calm(worker)


def test_a_server_that_dies_is_waited_for_and_one_that_comes_back_as_another_is_another_version(bridge):
    with cog() as pushed:
        desk, worker = bridge("cog", pushed)
        worker.hears("registered")
        first = desk.ended(desk.add(kind="a"), worker)
        pushed.stop()
        assert "does not answer" in desk.trouble(worker)
        jobs = [desk.add(kind="a") for _ in range(3)]
        assert [desk.side.state(job)[0] for job in jobs] == ["queued"] * 3
        pushed.start()
        assert all((told["state"], told["attempt"], told["version"]) == ("succeeded", 1, first["version"])
                   for told in (desk.ended(job, worker) for job in jobs)), worker.said
        desk.calm(worker)
        pushed.stop()
        assert "does not answer" in desk.trouble(worker)
        other = {"components": {"schemas": {**COG_SCHEMA["components"]["schemas"], "Output": {"type": "string"}}}}
        pushed.answers["/openapi.json"] = lambda _: other
        pushed.start()
        second = desk.ended(desk.add(kind="a"), worker)
        assert second["state"] == "succeeded" and second["version"] != first["version"], (first, second)
        # A schema with no place for an image is no model: nothing is claimed for it.
        pushed.stop()
        desk.trouble(worker)
        pushed.answers["/openapi.json"] = lambda _: {"openapi": "3.1.0", "paths": {}}
        pushed.start()
        job = desk.add(kind="a")
        desk.until(lambda: "no schema Input" in (desk.trouble(worker) or ""), lambda: worker.said)
        assert desk.side.state(job)[0] == "queued" and desk.get("/jobs/" + job)["attempt"] == 0
        desk.side.cancel(job)


def test_microservices_that_register_themselves_appear_serve_and_disappear(tmp_path):
    desk, started = Desk("pushed_*"), None
    desk.model = "pushed_" + uuid.uuid4().hex[:8]
    (tmp_path / "key").write_text(LISTEN_KEY + "\n")
    (tmp_path / "tmp").mkdir()
    often = "from darkroom_worker.bridge import listen\nlisten.BOOT = %r + listen.BOOT" % (OFTEN.replace("\n", "; ") + "; ")
    try:
        started = Serving(desk, "--listen", "127.0.0.1:0", "--listen-key-file", tmp_path / "key", "--leave-after", "1", command="bridge",
                          before=often, TMPDIR=str(tmp_path / "tmp"))
        started.hears(r"may register at port \d+")
        url = "http://127.0.0.1:%s/model/register" % re.search(r"at port (\d+)", started.said).group(1)
        with multipart() as pushed:
            def register():
                body = json.dumps({"name": desk.model, "port": pushed.port}).encode()
                request = urllib.request.Request(url, body, {"api_key": LISTEN_KEY, "Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                    assert answer.status == 200
            register()
            desk.until(desk.workers, lambda: started.said)
            register()  # as they do every few seconds
            for path in PHOTOS:
                photo = path.read_bytes()
                job = desk.add(photo)
                assert desk.ended(job, started)["state"] == "succeeded" and desk.result(job, photo)["fields"]["md5"] == md5(photo)
            pushed.stop()
            desk.until(lambda: not desk.workers(), lambda: started.said)
            started.hears("has a bridge no more")
            late = desk.add()
            pushed.start()
            register()
            assert desk.ended(late, started)["attempt"] == 1
        started.signal()
        started.signal()
        started.ends(0)
    finally:
        if started is not None:
            started.kill()
