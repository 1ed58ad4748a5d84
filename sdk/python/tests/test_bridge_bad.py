"""What a bridged server may do wrong, and what becomes of the jobs."""
import queue
import time

import pytest
from pushed import HTML, Pushed, cog, hangs, kserve, labelstudio, multipart
from serving import asked, photos, png
from test_bridge import bridge, server  # noqa: F401 - the fixtures

from darkroom_worker.bridge import remote
from darkroom_worker.bridge.client import NotReady
from darkroom_worker.bridge.protocol import Options
from darkroom_worker.bridge.serve import Bridged


def failed(server, job, outcome):
    """The error that the first attempt ended with."""
    server.until(lambda: any(a.outcome for a in job.attempts), lambda: "job %s is %s" % (job.id, job.state))
    first = job.attempts[0]
    assert first.outcome == outcome, (first.outcome, job.error)
    return [i for r in asked(server, "complete") for i in r.body["items"] if i["id"] == job.id][0]["error"]


def answers(*told):
    """A function that answers these, one after the other, then the last again and again."""
    left = list(told)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


AGAIN = [
    ((500, {"detail": "CUDA out of memory"}), "ServerError", "500 CUDA out of memory"),
    ((502, HTML, {"Content-Type": "text/html"}), "ServerError", "Welcome to nginx!"),
    ((200, HTML, {"Content-Type": "text/html"}), "BadAnswer", "not JSON"),
    ((200, b"\x00\xff\xfe garbage"), "BadAnswer", "not JSON"), ((200, b""), "BadAnswer", "not JSON"),
    ((200, b"[" * 100000), "BadAnswer", "not JSON"), (None, "CutOff", "POST /predict"),
    ({"status": "failure", "detail": "no GPU"}, "ServerError", "no GPU"),
    ((200, b'{"cut": "o', {"Content-Length": "4000"}), "CutOff", "POST /predict")]
NEVER = [
    ((400, {"error": "cannot identify image file"}), "Reject", "400 cannot identify image file"),
    ((415, b"only JPEG", {"Content-Type": "text/plain"}), "Reject", "415 only JPEG"),
    ((422, {"detail": [{"loc": ["body", "image_file"], "msg": "too small"}]}), "Reject", "too small"),
    ((413, HTML), "Reject", "413"),
    ((200, b'{"score": NaN}'), "InvalidResult", "/score is nan"), ((200, b'{"a": [1, -Infinity]}'), "InvalidResult", "/a/1 is -inf"),
    ((200, b'"' + b"x" * 50_000_000 + b'"'), "InvalidResult", "larger than 8 MiB"),
    ((200, b'"' + b"x" * 2_000_000 + b'"'), "InvalidResult", "the server takes 1048576")]


def test_what_fails_is_tried_again(server, bridge):  # noqa: F811
    with multipart() as pushed:
        worker = bridge("multipart", pushed)
        for photo, (told, kind, said) in zip(photos(len(AGAIN)), AGAIN):
            pushed.answers["/predict"] = answers(told, {"fine": True})
            job = server.add(photo, model="m")
            error = failed(server, job, "retry")
            assert error["type"] == kind and said in error["message"] and error["traceback"] is None, worker.said
            assert server.wait(job).result["fields"] == {"fine": True}


def test_what_can_never_be_is_rejected_with_the_servers_words(server, bridge):  # noqa: F811
    with multipart() as pushed:
        worker = bridge("multipart", pushed)
        for photo, (told, kind, said) in zip(photos(len(NEVER)), NEVER):
            pushed.answers["/predict"], before = answers(told), len(pushed.asked("/predict"))
            job = server.add(photo, model="m")
            error = failed(server, job, "rejected")
            assert error["type"] == kind and said in error["message"], worker.said
            assert server.wait(job).reason == "rejected" and len(pushed.asked("/predict")) == before + 1


def test_a_server_that_hangs_costs_a_try_not_the_bridge(server, bridge):  # noqa: F811
    slow = server.add(png(9, 8), model="m", max_attempts=1)
    with multipart(hangs(2)) as pushed:
        worker = bridge("multipart", pushed, "--timeout", 0.5)
        error = failed(server, slow, "retry")
        assert error["type"] == "TimedOut" and "no answer in 0.5 s" in error["message"]
        pushed.answers["/predict"] = lambda _: {"ok": 1}
        assert server.wait(server.add(png(10, 8), model="m")).state == "succeeded", worker.said


def test_an_answer_that_drips_ends_in_time(server, bridge):  # noqa: F811
    import socket
    import threading
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if connection.recv(65536).startswith(b"GET"):
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                connection.close()
                continue
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.1)
            except OSError:
                pass
    threading.Thread(target=drip, daemon=True).start()
    pushed = Pushed({})
    pushed.port = listener.getsockname()[1]
    job = server.add(png(9, 8), model="m")
    bridge("multipart", pushed, "--timeout", 0.7)
    assert failed(server, job, "retry")["type"] == "TimedOut"
    listener.close()


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_is_not_followed_and_costs_no_try(server, bridge, status):  # noqa: F811
    job = server.add(png(9, 8), model="m")
    with Pushed({".*": lambda _: {"stolen": True}}) as elsewhere, multipart() as pushed:
        good = pushed.answers["/predict"]
        pushed.answers["/predict"] = lambda _: (status, b"", {"Location": elsewhere.url + "/predict"})
        worker = bridge("multipart", pushed)
        server.until(lambda: server.workers() and server.workers()[0].trouble, lambda: worker.said)
        assert "redirects to %s/predict, which is not followed" % elsewhere.url in server.workers()[0].trouble
        pushed.answers["/predict"] = good
        assert server.wait(job).state == "succeeded" and job.attempt == 1 and not elsewhere.requests


def test_while_the_server_is_down_nothing_is_claimed_and_the_trouble_is_told(server, bridge):  # noqa: F811
    first = server.add(png(9, 8), model="m")
    with multipart() as pushed:
        worker = bridge("multipart", pushed)
        server.wait(first)
        pushed.stop()
        server.until(lambda: server.workers()[0].trouble, lambda: worker.said)  # found out with nothing to do
        assert "does not answer" in server.workers()[0].trouble
        jobs = [server.add(photo, model="m") for photo in photos(3)]
        time.sleep(0.5)  # meanwhile the bridge asks several times, and has nothing to say
        assert [(job.state, job.attempt) for job in jobs] == [("queued", 0)] * 3
        assert not any(job.attempts for job in jobs)
        pushed.start()
        assert all(server.wait(job).state == "succeeded" and job.attempt == 1 for job in jobs), worker.said
        server.until(lambda: not server.workers()[0].trouble, lambda: worker.said)


def test_a_server_that_says_503_is_waited_for_and_no_try_is_lost(server, bridge):  # noqa: F811
    ready = [False]
    with multipart() as pushed:
        predict = pushed.answers["/predict"]
        pushed.answers.update({"/status": lambda _: {"ok": 1} if ready[0] else (503, {"detail": "loading weights"}),
                               "/predict": lambda r: predict(r) if ready[0] else (503, {"detail": "loading weights"})})
        job = server.add(png(9, 8), model="m")
        worker = bridge("multipart", pushed)
        worker.hears("503 loading weights; it is asked again")
        assert not server.workers()
        ready[0] = True
        server.wait(job)
        ready[0] = False
        again = server.add(png(10, 8), model="m")
        server.until(lambda: server.workers()[0].trouble, lambda: worker.said)
        ready[0] = True
        assert server.wait(again).state == "succeeded" and again.attempt == 1


def test_a_server_that_fails_at_every_photograph_is_left_alone(server, bridge):  # noqa: F811
    jobs = [server.add(photo, model="m") for photo in photos(12)]
    server.book.heartbeat_s = 0.1  # so that a beat comes before it tries again
    with multipart(answers(*[(500, {"detail": "broken"})] * 5, {"well": "again"})) as pushed:
        worker = bridge("multipart", pushed)
        server.until(lambda: any(beat.body.get("trouble") for beat in asked(server, "beat")), lambda: worker.said)
        said = [beat.body["trouble"] for beat in asked(server, "beat") if beat.body.get("trouble")][0]
        assert "5 photographs in a row failed, the last with: POST /predict: 500 broken" in said
        assert all(server.wait(job).state == "succeeded" for job in jobs)
        fifth, sixth = pushed.asked("/predict")[4:6]
        assert sixth.at - fifth.at >= 1.0


def test_a_cancelled_job_is_broken_off(server, bridge):  # noqa: F811
    job = server.add(png(9, 8), model="m")
    with cog(hangs(20)) as pushed:
        worker = bridge("cog", pushed)
        server.until(lambda: pushed.asked("/predictions/[^/]*"), lambda: worker.said)
        server.cancel(job)
        server.until(lambda: pushed.asked("/predictions/.*/cancel"), lambda: worker.said)
        pushed.answers["/predictions/[^/]*"] = lambda _: {"status": "succeeded", "output": 1}
        assert server.wait(server.add(png(10, 8), model="m")).state == "succeeded"


@pytest.mark.parametrize("protocol, made, said", [
    ("cog", lambda: cog(schema={"openapi": "3.1"}), "no schema Input"),
    ("cog", lambda: cog(schema={"components": {"schemas": {"Input": {"properties": {"prompt": {"type": "string"}}}}}}),
     "has the inputs prompt: say with --field"),
    ("kserve", lambda: kserve(inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, 3, 224, 224]}]), "x (FP32"),
    ("kserve", lambda: kserve(inputs=[{"name": n, "datatype": "BYTES", "shape": [1]} for n in "ab"]), "say which with --field"),
    ("kserve", multipart, "/v2/health/ready: 404"), ("cog", multipart, "/health-check: 404"), ("labelstudio", multipart, "/health: 404")])
def test_another_models_schema_is_not_served(protocol, made, said):
    with made() as pushed:
        opened = Bridged(protocol, pushed.url, "m", None, Options(model="m")).open()
        with pytest.raises(NotReady) as raised:
            opened.ready()
            opened.about()
        assert said in str(raised.value)


@pytest.mark.parametrize("protocol, made, wrong", [
    ("cog", cog, [({"status": "failed", "error": "division by zero"}, "ServerError"), ({"detail": "hm"}, "BadAnswer"),
                  ((202, {"status": "processing"}), "BadAnswer"), ([1], "BadAnswer")]),
    ("kserve", kserve, [({"predictions": [1]}, "BadAnswer"), ({"outputs": [{"name": "x"}]}, "BadAnswer"), ({"outputs": ["x"]}, "BadAnswer")]),
    ("labelstudio", labelstudio, [
        ({"oops": 1}, "BadAnswer"), ({"results": ["x"]}, "BadAnswer"), ({"results": [{"result": [{"id": 1}]}]}, "BadAnswer"),
        ({"results": [{"result": [{"value": {"x": "a", "y": 1, "width": 1, "height": 1}}]}]}, "BadAnswer"),
        ({"results": [{"result": [{"value": {"rectanglelabels": [[]]}}]}]}, "BadAnswer")])])
def test_answers_of_another_kind_are_failures(server, bridge, protocol, made, wrong):  # noqa: F811
    with made() as pushed:
        worker = bridge(protocol, pushed, "--field", "photo")
        path = next(path for path in pushed.answers if path.endswith(("/predict", "/infer", "/predictions/[^/]*")))
        good = pushed.answers[path]
        for photo, (told, kind) in zip(photos(len(wrong)), wrong):
            pushed.answers[path] = answers(told)
            job = server.add(photo, model="m", params={"kind": "a"})
            assert failed(server, job, "retry")["type"] == kind, worker.said
            pushed.answers[path] = good
            server.wait(job)


def test_a_busy_server_that_becomes_another_version_is_noticed(monkeypatch):
    monkeypatch.setattr(remote, "LOOK_S", (0.05, 0.05))
    monkeypatch.setattr(remote, "ABOUT_EVERY_S", 0.1)
    heard, versions = queue.Queue(), ["1"]
    with kserve() as pushed:
        pushed.answers["/v2/models/m"] = lambda _: {"versions": versions, "inputs": [{"name": "photo", "datatype": "BYTES", "shape": [1]}]}
        made = remote.Remote(Bridged("kserve", pushed.url, "m", None, Options(model="m")).open(), "m", None)
        made.trouble = heard.put
        assert made.start()["version"] == "1"
        made._calls["busy"] = None
        versions.append("2")
        assert heard.get(timeout=10).error["type"] == "CodeChanged"
        made._calls.clear()
        made.close()


def test_it_ends_when_the_server_is_gone_for_long_if_asked(server, bridge):  # noqa: F811
    with multipart() as pushed:
        worker = bridge("multipart", pushed, "--leave-after", 1)
        server.wait(server.add(png(9, 8), model="m"))
        pushed.stop()
        worker.ends(0)
        assert not server.workers()
