"""`darkroom-worker run` and its model: what it says, how it fails, starts again and is edited."""
import os
import threading
import time

import pytest
from serving import photos, png

QUICK = "def predict(image):\n    return {'size': list(image.size), 'md5': image.md5}\n"


@pytest.mark.parametrize("fault, kind, why", [("os._exit(7)", "ModelDied", "exit code 7"), ("time.sleep(60)", "TimedOut", "killed")])
def test_one_image_that_kills_or_hangs_harms_no_other(server, serve, fault, kind, why):
    jobs = [server.add(photo, model="m", max_attempts=2) for photo in photos(3)]
    worker = serve("import os, time\nbatch_size = 3\ndef predict_batch(images):\n"
                   "    for image in images:\n        if image.size[0] == 9: %s\n    return [1] * len(images)\n" % fault, "--timeout", 0.8)
    for job in jobs:
        server.wait(job)
    assert [job.state for job in jobs] == ["succeeded", "failed", "succeeded"], worker.said
    assert jobs[1].error["type"] == kind and why in jobs[1].error["message"]
    assert all(job.attempt == 1 for job in jobs if job is not jobs[1])


def test_what_the_model_says_wrongly_is_told(server, serve):
    jobs = [server.add(photo, model="m", max_attempts=1) for photo in photos(5)]
    worker = serve('''
from darkroom_worker import Reject
def predict(image):
    n = image.size[0] - 8
    if n == 0: return {"a": [0, float("nan")]}
    if n == 1: return "x" * 50_000_000
    if n == 2: raise Reject("too blurred")
    if n == 3: raise RuntimeError("no \\0 luck \\udc00")
    return {"items": [{"type": "box", "box": [0, 0, 3, 3]}]}
''')
    for job in jobs:
        server.wait(job)
    assert [(job.state, job.reason) for job in jobs] == [("failed", "rejected")] * 3 + [
        ("failed", "exhausted"), ("failed", "rejected")]
    messages = [job.error["message"] for job in jobs[:4]]
    assert messages[0].startswith("/a/1 is nan") and "the server takes" in messages[1] and messages[2] == "too blurred"
    assert messages[3] == "no \ufffd luck \ufffd" and "m.py" in jobs[3].error["traceback"]
    worker.hears("refused by the server: invalid_result /items/0/box")


def test_a_result_that_the_server_refuses_is_not_sent_for_ever(server, serve):
    job = server.add(png(8, 8), model="m")
    server.fail("complete", status=422)
    serve(QUICK)
    assert (server.wait(job).state, job.reason, job.error["type"]) == ("failed", "rejected", "ResultRefused")


def test_a_model_that_cannot_start_is_not_registered_until_it_can(server, serve, tmp_path):
    worker = serve("import os\ndef init():\n    open(%r)\ndef predict(image): return 1\n" % str(tmp_path / "weights"))
    worker.hears("weights'[^$]*Trying again in 1 s")
    assert not server.requests
    job = server.add(png(8, 8), model="m")
    (tmp_path / "weights").write_text("")
    assert server.wait(job).state == "succeeded"


def test_a_model_that_takes_long_to_load_is_waited_for_and_ends_when_asked(server, serve):
    worker = serve("import time\ndef init(): time.sleep(600)\ndef predict(image): return 1\n",
                   before="from darkroom_worker import process, run\nrun.PATIENCE_S = 0.1\nprocess.CLOSE_S = 0.1")
    worker.hears("the model is still loading")
    worker.signal()
    worker.ends(0)
    assert not server.requests


def test_a_model_that_cannot_start_again_gives_its_jobs_back_and_says_so(server, serve, tmp_path):
    (tmp_path / "weights").write_text("")
    worker = serve("import os\ndef init():\n    open(%r)\ndef predict(image):\n    image.params or os._exit(1)\n"
                   % str(tmp_path / "weights"), "--version", 1)
    worker.hears("registered")
    (tmp_path / "weights").unlink()
    killer = server.add(png(8, 8), model="m", max_attempts=1)
    server.wait(killer)
    server.until(lambda: "weights" in (server.workers()[0].trouble or ""), lambda: worker.said)
    job = server.add(png(9, 8), model="m", params={"good": 1})
    (tmp_path / "weights").write_text("")
    assert server.wait(job).state == "succeeded"
    server.until(lambda: server.workers()[0].trouble is None, lambda: worker.said)


def test_edits_are_served_and_broken_ones_are_not(server, serve, write):
    source = "def predict(image): return %s\n"
    path, jobs, stop = write("m.py", source % 1), [], threading.Event()
    worker = serve(path, "--watch")

    def load():
        while not stop.wait(0.01):
            jobs.append(server.add(png(8 + len(jobs) % 50, 8), model="m", params={"n": len(jobs)}))
    loader = threading.Thread(target=load)
    loader.start()
    try:
        worker.hears("registered")
        write("m.py", source % "(")
        server.until(lambda: any((w.trouble or "").startswith("the model does not load: SyntaxError") for w in server.workers()),
                     lambda: worker.said)
        worker.hears("SyntaxError")
        assert server.wait(jobs[-1]).result["fields"] == {"value": 1}
        write("m.py", source % 2)
        server.until(lambda: jobs[-1].result and jobs[-1].result["fields"] == {"value": 2} or
                     any(job.result and job.result["fields"] == {"value": 2} for job in jobs[-40:]), lambda: worker.said)
    finally:
        stop.set()
        loader.join(5)
    for job in jobs:
        server.wait(job)
    assert all(job.state == "succeeded" and job.attempt == 1 for job in jobs), worker.said
    versions = {job.result["fields"]["value"]: set() for job in jobs}
    for job in jobs:
        versions[job.result["fields"]["value"]].add(job.version)
    assert len(versions[1]) == len(versions[2]) == 1 and versions[1] != versions[2]
    assert [w.trouble for w in server.workers()] == [None]


def test_known_answers_are_asked_before_it_serves(server, serve, tmp_path, write):
    from darkroom_worker import cli
    (tmp_path / "a.png").write_bytes(png(8, 8))
    source = "def predict(image):\n    return {'bytes': len(image.read())}\n"
    path, answers = write("m.py", source), str(tmp_path / "answers.json")
    assert cli.main(["test", path, str(tmp_path / "a.png"), "--expect", answers]) == 0
    worker = serve(path, "--expect", answers)
    worker.hears("registered")
    write("m.py", source.replace("len(image.read())", "7"))
    worker = serve(path, "--expect", answers)
    worker.ends(1)
    assert "a.png" in worker.said and "does not give its known answers" in worker.said and "rying again" not in worker.said


def test_a_model_that_dies_of_a_known_photograph_and_does_not_start_again_is_tried_again(server, serve, tmp_path, write):
    from darkroom_worker import cli
    (tmp_path / "a.png").write_bytes(png(8, 8))
    dies, answers = tmp_path / "dies", str(tmp_path / "answers.json")
    path = write("m.py", "import os\ndies = %r\ndef init():\n    if os.path.exists(dies + 'd'): raise OSError('no device')\n"
                         "def predict(image):\n    if os.path.exists(dies):\n        open(dies + 'd', 'w')\n        os._exit(1)\n"
                         "    return 1\n" % str(dies))
    assert cli.main(["test", path, str(tmp_path / "a.png"), "--expect", answers]) == 0
    dies.touch()
    worker = serve(path, "--expect", answers)
    worker.hears("OSError: no device")
    dies.unlink()
    (tmp_path / "diesd").unlink()
    worker.hears("registered")


def test_an_edit_that_loses_a_known_answer_is_not_served(server, serve, tmp_path, write):
    from darkroom_worker import cli
    (tmp_path / "a.png").write_bytes(png(8, 8))
    source = "name = 'm'\ndef predict(image):\n    return {'bytes': len(image.read())}\n"
    path, answers = write("m.py", source), str(tmp_path / "answers.json")
    assert cli.main(["test", path, str(tmp_path / "a.png"), "--expect", answers]) == 0
    worker = serve(path, "--watch", "--expect", answers)
    worker.hears("registered")
    write("m.py", source.replace("len(image.read())", "7"))
    worker.hears("does not give its known answers[^$]*a.png: bytes was [0-9]+, is 7\\nThe code before goes on serving")
    photo = png(9, 9)
    assert server.wait(server.add(photo, model="m")).result["fields"] == {"bytes": len(photo)}
