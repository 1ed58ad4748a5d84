"""`darkroom-worker run`, as a process, against the in-memory server."""
import glob
import http.server
import os
import re
import resource
import signal
import threading
import time

from serving import Server, asked, photos, png

from darkroom_worker.cli import main

QUICK = "def predict(image):\n    return {'size': list(image.size), 'md5': image.md5}\n"


def test_it_serves_and_says_who_it_is(server, serve, tmp_path):
    jobs = [server.add(photo, model="m") for photo in photos(20)]
    worker = serve('"""Sizes."""\nimport os, stat\nlabels = ["a"]\ndef predict(image, *, n: int = 1):\n'
                   '    folder = os.stat(os.path.dirname(image))\n'
                   '    return {"size": list(image.size), "mode": stat.S_IMODE(folder.st_mode), "name": os.path.basename(image)}\n',
                   "--ready-file", tmp_path / "ready")
    ended = [server.wait(job) for job in jobs]
    assert [job.state for job in ended] == ["succeeded"] * 20 and all(len(job.attempts) == 1 for job in ended)
    assert ended[3].result["fields"]["size"] == [11, 8] and ended[3].result["fields"]["mode"] == 0o700
    assert ended[3].result["fields"]["name"].endswith(".png") and ended[3].duration_s > 0
    about = asked(server, "register")[0].body
    assert {key: about[key] for key in ("service", "model", "description", "labels", "batch_max")} == {
        "service": "predict", "model": "m", "description": "Sizes.", "labels": ["a"], "batch_max": 1}
    assert about["version"].startswith("code-") and about["params_schema"]["properties"] == {"n": {"type": "integer", "default": 1}}
    assert (tmp_path / "ready").read_text() == server.workers()[0].id
    assert all(request.headers["authorization"] == "Bearer " + server.key for request in server.requests)
    worker.signal()
    worker.ends(0)
    assert not server.workers() and not (tmp_path / "ready").exists() and not os.listdir(tmp_path / "tmp")


def test_it_keeps_a_batch_full_and_spends_one_round_trip_on_each(server, serve):
    jobs = [server.add(photo, model="m") for photo in photos(128)]
    # as many as it ever holds ready, whatever it measures; and however slow this machine is, a batch waits for what is on its way
    serve("batch_size = 32\ndef predict_batch(images):\n    return [len(images)] * len(images)\n",
          before="from darkroom_worker import hand\nhand.FILL_S = 30.0")
    assert [server.wait(job).result["fields"]["value"] for job in jobs] == [32] * 128
    told = asked(server, "complete")
    assert sum(len(request.body["items"]) for request in told) == 128 and len(told) <= 4
    server.until(lambda: len(asked(server, "claim")) == 2, lambda: str(len(asked(server, "claim"))))
    first, last = asked(server, "claim")  # the others come with completions, until there is no more
    assert len(first.answer["jobs"]) == 64 and not last.status


def test_each_job_is_completed_as_soon_as_it_ends(server, serve, tmp_path):
    jobs = [server.add(photo, model="m") for photo in photos(4)]
    serve("import os, time\nbegun = []\ndef predict(image):\n    begun.append(image)\n"
          "    while not os.path.exists(%r %% len(begun)): time.sleep(0.01)\n" % str(tmp_path / "go-%d"), "--batch", 4)
    for count in (1, 2, 3, 4):
        (tmp_path / ("go-%d" % count)).touch()
        server.until(lambda: any(job.ended for job in jobs), lambda: "none")
        assert sum(job.ended for job in jobs) == 1
        jobs = [job for job in jobs if not job.ended]


def test_the_first_signal_finishes_and_the_second_gives_back(server, serve):
    slow = "import time\ndef predict(image):\n    print('begun', flush=True)\n    time.sleep(float(image.params['s']))\n"
    job = server.add(png(8, 8), model="m", params={"s": 0.7})
    worker = serve(slow)
    worker.hears("begun")
    worker.signal(signal.SIGINT)
    worker.ends(0)
    assert job.state == "succeeded" and not server.workers()
    jobs = [server.add(photo, model="m", params={"s": 60}) for photo in photos(2)]
    worker = serve(slow)
    worker.hears("begun")
    worker.signal()
    worker.hears("a second signal gives them back")
    worker.signal()
    worker.ends(130)
    assert [(job.state, job.attempt) for job in jobs] == [("queued", 0)] * 2 and not server.workers()


def test_what_was_done_is_said_to_the_last_and_over_all_sessions(server, serve):
    worker = serve(QUICK)
    for job in [server.add(photo, model="m") for photo in photos(3)]:
        server.wait(job)
    worker.hears("; 3 in all")
    server.forget()
    server.wait(server.add(png(20, 8), model="m"))
    worker.signal()
    worker.ends(0)
    assert worker.said.endswith("ended, after 4 jobs\n") and sum(map(int, re.findall("(\\d+) succeeded", worker.said))) == 4


def test_an_idle_worker_ends_at_once(server, serve):
    worker = serve(QUICK)
    server.wait(server.add(png(8, 8), model="m"))
    server.until(lambda: any(not request.status for request in asked(server, "claim")[1:]), lambda: worker.said)
    claims = len(asked(server, "claim"))
    worker.signal()
    worker.ends(0, timeout_s=20)  # sooner than its claim, which waits 25 s
    assert len(asked(server, "claim")) == claims  # what was broken is not sent again


def test_it_ends_by_itself_when_asked(server, serve):
    jobs = [server.add(photo, model="m") for photo in photos(5)]
    serve(QUICK, "--max-jobs", 3).ends(0)
    assert sum(job.ended for job in jobs) == 3
    worker = serve(QUICK, "--burst")
    worker.ends(0)
    assert all(job.ended for job in jobs) and "the queue is empty" in worker.said
    worker = serve(QUICK)
    worker.hears("registered")
    server.drain()
    worker.ends(0)


def test_every_fault_of_the_way_is_outlived(server, serve):
    for on in ("register", "claim", "image", "complete", "beat"):
        server.fail(on, status=503, retry_after_s=0.0)
        server.reset(on)
    worker, every = serve(QUICK), []

    def serves(n):
        jobs = [server.add(photo, model="m", params={"n": n}) for photo in photos(6)]
        every.extend(server.wait(job) for job in jobs)
    serves(1)
    for on in ("claim", "image", "complete", "beat"):
        server.reset(on, late=True)
        server.garble(on)
        server.fail(on, status=429, retry_after_s=1.0 if on == "claim" else None)
    serves(2)
    server.restart(0.3)
    serves(3)
    server.until(lambda: not server.troubles.left(), lambda: worker.said)
    assert all(job.state == "succeeded" and job.attempt == 1 for job in every), worker.said
    assert all([a.outcome for a in job.attempts].count("succeeded") == 1 for job in every)
    claims = asked(server, "claim")
    waits = [later.at - one.ended_at for one, later in zip(claims, claims[1:]) if one.status == 429]
    assert waits and all(wait >= 0.99 for wait in waits)  # as Retry-After said


def test_a_session_given_up_is_opened_again_and_the_model_stays_loaded(server, serve):
    source = "import os\ndef predict(image):\n    return os.getpid()\n"
    first = server.add(png(8, 8), model="m")
    worker = serve(source)
    server.wait(first)
    server.forget()
    second = server.wait(server.add(png(9, 8), model="m"))
    assert second.result == first.result
    assert len(asked(server, "register")) == 2 and len(server.workers()) == 1
    worker.signal()
    worker.ends(0)


def test_a_revoked_key_is_said_and_ends_it(server, serve, tmp_path):
    job = server.add(png(8, 8), model="m")
    worker = serve("import time\ndef predict(image):\n    print('begun', flush=True)\n"
                   "    while True:\n        image.progress(0.1)\n        time.sleep(0.02)\n")
    worker.hears("begun")
    server.revoke()
    worker.ends(3)
    assert "no longer takes this key" in worker.said
    assert job.state == "running" and not asked(server, "complete") and not os.listdir(tmp_path / "tmp")  # its lease will end


def test_a_key_that_does_not_reach_the_model_is_said_and_ends_it(server, serve):
    worker = serve(QUICK, DARKROOM_API_KEY=server.make_key(["other"]))
    worker.ends(3)
    assert "does not take this key for this model" in worker.said and "403" in worker.said


def test_a_server_that_moved_is_told_and_waited_for(server, serve):
    with Server() as elsewhere:
        server.redirect("claim", to=elsewhere.url, times=3)
        worker = serve(QUICK)
        worker.hears("POST /jobs/claim: 307 the server says that it is at %s" % elsewhere.url)
        assert server.wait(server.add(png(8, 8), model="m")).state == "succeeded" and not elsewhere.requests


def test_beats_tell_of_all_in_hand_and_a_cancelled_job_stops(server, serve):
    job = server.add(png(8, 8), model="m")
    worker = serve('''
import time
def predict(image):
    if image.params: return 1
    try:
        while True:
            image.progress(0.25, "a quarter")
            time.sleep(0.02)
    except BaseException as error:
        print("stopped by", type(error).__name__)
        raise
''')
    server.until(lambda: job.progress == 0.25 and job.note == "a quarter", lambda: worker.said)
    other = server.add(png(9, 8), model="m", params={"quick": 1})
    server.until(lambda: any({j["id"] for j in beat.body["jobs"]} == {job.id, other.id} for beat in asked(server, "beat")),
                 lambda: worker.said)
    server.cancel(job)
    worker.hears("stopped by Cancelled")
    server.wait(other)
    assert job.state == "cancelled" and not [r for r in asked(server, "complete") for i in r.body["items"] if i["id"] == job.id]


def test_a_suspect_is_held_alone(server, serve):
    suspect = server.add(png(8, 8), model="m", solo=True)
    others = [server.add(photo, model="m") for photo in photos(9)[1:]]
    serve("import time\ndef predict(image):\n    time.sleep(0.05)\n", "--batch", 4)
    for job in [suspect, *others]:
        server.wait(job)
    held, told = set(), 0
    for request in server.requests:
        answer = request.answer or {}
        if request.operation == "complete":
            held -= {item["id"] for item in request.body["items"]}
            answer = answer.get("claimed") or {}
        for job in answer.get("jobs") or []:
            assert not (held and (job["solo"] or suspect.id in held))
            held.add(job["id"])
            told += job["solo"]
    assert told == 1


def test_a_full_disk_gives_the_job_back(server, serve, write, tmp_path):
    job = server.add(png(8, 8) + bytes(300_000), model="m")
    path = write("m.py", QUICK)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # inherited
    try:
        worker = serve(path, PYTHONDONTWRITEBYTECODE="1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    worker.hears("cannot be written .* goes back")
    # a claim that was waiting gets it once more
    server.until(lambda: job.state == "queued" and all(request.status for request in asked(server, "claim")), lambda: worker.said)
    tries = len(job.attempts)
    assert tries in (1, 2) and job.attempt == 0 and {attempt.outcome for attempt in job.attempts} == {"released"}
    time.sleep(0.5)
    assert len(job.attempts) == tries  # it waits before it claims again
    server.until(lambda: not glob.glob(str(tmp_path / "tmp" / "*" / "*")), lambda: worker.said)


def test_the_key_goes_to_its_server_only(server, serve):
    heard = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(photo)

        def log_message(self, *_):
            pass
    photo = png(8, 8)
    other = http.server.HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    elsewhere = "http://127.0.0.1:%d" % other.server_port
    job = server.add(photo, model="m", url=elsewhere + "/bucket/x")
    serve(QUICK)
    server.wait(job)
    server.redirect("image", to=elsewhere)
    assert server.wait(server.add(photo, model="m", params={"a": 1})).state == "succeeded"
    other.shutdown()
    assert len(heard) == 2 and not any("uthorization" in name for headers in heard for name in headers)


def test_several_processes_work_side_by_side(server, serve, tmp_path):
    jobs = [server.add(photo, model="m") for photo in photos(8)]
    (tmp_path / "at work").mkdir()
    serve("import os, time\ndef predict(image):\n    open(os.path.join(%r, str(os.getpid())), 'w')\n"
          "    while len(os.listdir(%r)) < 2: time.sleep(0.01)\n    return os.getpid()\n" % ((str(tmp_path / "at work"),) * 2), "--processes", 2)
    assert len({server.wait(job).result["fields"]["value"] for job in jobs}) == 2


def test_wrong_usage_says_what_to_do(server, serve, write, monkeypatch, capsys):
    path = write("m.py", QUICK)
    for flags, environment, why in [
        (("--batch", "many"), {}, "--batch many"), (("--timeout", "-1"), {}, "above 0"), ((), {"DARKROOM_PROCESSES": "x"}, "--processes x"),
        (("--server", "http://198.51.100.1"), {}, "in clear"), (("--server", "ftp://x"), {}, "write http://"),
        ((), {"DARKROOM_API_KEY": ""}, "no API key"), (("--expect", "/nowhere"), {}, "known answers"),
    ]:
        with monkeypatch.context() as patch:
            for name, value in {**server.environment(), **environment}.items():
                patch.setenv(name, value)
            assert main(["run", path, *flags]) == 2 and why in capsys.readouterr().err
    worker = serve(path, "--server", server.url, DARKROOM_URL="http://127.0.0.1:1", DARKROOM_NAME="other")
    worker.hears("other code-.* is registered")


def test_a_key_that_is_not_there_yet_is_waited_for_aloud(write, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.delenv("DARKROOM_API_KEY", raising=False)
    monkeypatch.setattr("darkroom_worker.cli_run.KEY_WAIT_S", 0.2)
    key = tmp_path / "worker.key"
    for text, why in (None, "No such file"), ("", "it is empty"):
        if text is not None:
            key.write_text(text)
        assert main(["run", write("m.py", QUICK), "--api-key-file", str(key)]) == 2
        assert "no API key in %s: %s; waiting" % (key, why) in caplog.text.replace("No such file or directory", "No such file")
        assert "no API key in %s: name a file" % key in capsys.readouterr().err
