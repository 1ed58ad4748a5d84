"""The model's processes: what they say, how they die, and that nobody else is harmed."""
import json
import os
import signal
import threading
import time

import pytest

from darkroom_worker.pool import Pool
from darkroom_worker.process import Listener, NotServing, Spec, Task


class Heard(Listener):
    def __init__(self):
        self.outcomes, self.reports, self.reported = {}, [], threading.Event()

    def progress(self, key, fraction, note):
        self.reports.append((key, fraction, note))
        self.reported.set()

    def done(self, task, outcome):
        assert task.key not in self.outcomes
        self.outcomes[task.key] = outcome

    def kinds(self):
        return [self.outcomes[key].kind for key in sorted(self.outcomes)]


@pytest.fixture
def start(write):
    """Starts a pool of one model: start(source) → pool."""
    pools = []

    def start(source, **named):
        pools.append(Pool(Spec(write("a_model.py", source)), **named))
        pools[-1].start()
        return pools[-1]
    yield start
    for pool in pools:
        pool.kill()


def tasks(photo, *numbers, **named):
    """Tasks that the model tells apart by their media type: of other params, they would not go in one call."""
    return [Task(str(key), photo, media_type=n, **named) for key, n in enumerate(numbers)]


MODEL = '''
    import os, signal, subprocess, sys, time
    def predict(image):
        n = image.media_type
        if n == "exit": os._exit(7)
        if n == "kill": os.kill(os.getpid(), signal.SIGKILL)
        if n == "hang": time.sleep(60)
        if n == "raise": raise RuntimeError("no")
        if n == "fork":
            subprocess.Popen(["sleep", "60"])
            if os.fork() == 0: time.sleep(60)
            os._exit(8)
        return {"n": n, "pid": os.getpid()}
'''
BATCH = MODEL + '''
    def predict_batch(images): return [predict(image) for image in images]
'''


def test_it_predicts_and_says_what_the_model_is(start, photo):
    pool, heard = start(MODEL), Heard()
    assert pool.about["model"] == "a_model" and pool.about["batch_size"] == 1 and not pool.about["batched"]
    pool.run(tasks(photo, 1, 2), heard)
    results = [json.loads(heard.outcomes[key].result)["fields"] for key in "01"]
    assert [r["n"] for r in results] == [1, 2] and results[0]["pid"] == results[1]["pid"] != os.getpid()
    assert pool.memory() > 1 << 20
    pool.close()
    with pytest.raises(OSError):
        os.kill(results[0]["pid"], 0)


@pytest.mark.parametrize("source", [MODEL, BATCH], ids=["one by one", "batch"])
@pytest.mark.parametrize("fault, kind, why", [
    ("exit", "ModelDied", "exit code 7"), ("kill", "ModelDied", "signal 9 (SIGKILL)"), ("fork", "ModelDied", "exit code 8"),
    ("hang", "TimedOut", "took longer than the 1 s")])
def test_a_process_that_dies_harms_only_the_image_it_died_of(start, photo, source, fault, kind, why):
    pool, heard = start(source), Heard()
    pool.run(tasks(photo, 1, 2, fault, 4, limit_s=1.0 if fault == "hang" else 30.0), heard)
    assert heard.kinds() == ["succeeded", "succeeded", "retry", "succeeded"]
    error = heard.outcomes["2"].error
    assert error["type"] == kind and why in error["message"]
    pool.run(tasks(photo, 5), heard_again := Heard())
    assert heard_again.kinds() == ["succeeded"]


@pytest.mark.parametrize("source", [MODEL, BATCH], ids=["one by one", "batch"])
@pytest.mark.parametrize("first, then", [([1, "exit"], [3, 4]), ([1, 2], ["exit", 4]), (["exit"], ["exit"]), ([1], [2])])
def test_what_was_sent_ahead_is_not_lost_with_its_process(start, photo, source, first, then):
    pool, heard, ahead = start(source), Heard(), []
    both = tasks(photo, *first, *then)
    ahead.append(both[len(first):])
    pool.run(both[:len(first)], heard, lambda: ahead.pop() if ahead else [])
    assert heard.kinds() == ["retry" if n == "exit" else "succeeded" for n in first + then]


def test_what_it_printed_last_goes_with_the_news_of_its_death(start, photo, capfd):
    pool, heard = start('''
        import ctypes, sys
        def predict(image):
            print("about to fall")
            sys.stdout.write("without an end of line")
            sys.stdout.flush()
            ctypes.string_at(0)
    '''), Heard()
    pool.run(tasks(photo, 1), heard)
    error = heard.outcomes["0"].error
    assert "SIGSEGV" in error["message"] and "about to fall" in error["traceback"] and "a_model.py" in error["traceback"]
    assert "about to fall" in capfd.readouterr().err


def test_printing_reading_and_threads_disturb_nothing(start, photo):
    pool, heard = start('''
        import os, sys, threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        def predict(image):
            os.write(1, b"x" * 100000)
            print("y" * 100000)
            os.system("echo from a shell")
            return {"read": sys.stdin.read(), "argv": len(sys.argv)}
    '''), Heard()
    pool.run(tasks(photo, 1), heard)
    assert json.loads(heard.outcomes["0"].result)["fields"] == {"read": "", "argv": 1}


def test_progress_is_heard_and_a_cancelled_task_ends(start, photo):
    pool, heard = start('''
        import time
        def predict(image):
            for _ in range(6000):
                image.progress(0.5, "half")
                time.sleep(0.01)
    '''), Heard()
    running = threading.Thread(target=pool.run, args=(tasks(photo, 1), heard), daemon=True)
    running.start()
    assert heard.reported.wait(60)
    pool.cancel("0")
    running.join(60)
    assert heard.kinds() == ["cancelled"] and heard.reports[0] == ("0", 0.5, "half")


@pytest.mark.parametrize("source, why", [
    ("def predict(image): return (", "SyntaxError"), ("import nothing_such", "nothing_such"), ("x = 1", "needs predict"),
    ("def init(): raise RuntimeError('no weights')\ndef predict(image): 1", "no weights"),
    ("import sys\nsys.exit(3)", "SystemExit"), ("import os\nos._exit(3)", "exit code 3")])
def test_a_model_that_does_not_load_says_why(start, source, why):
    with pytest.raises(NotServing, match=why) as refused:
        start(source)
    assert set(refused.value.error) == {"type", "message", "traceback"}


def test_processes_work_side_by_side(start, photo, tmp_path):
    (tmp_path / "at work").mkdir()
    pool = start('''
        import os, time
        def predict(image):
            open(os.path.join(%r, str(os.getpid())), "w")
            while len(os.listdir(%r)) < 2: time.sleep(0.01)
            return {"pid": os.getpid()}
    ''' % ((str(tmp_path / "at work"),) * 2), processes=2)
    heard = [Heard(), Heard()]
    threads = [threading.Thread(target=pool.run, args=(tasks(photo, 1), h), daemon=True) for h in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({h.outcomes["0"].result for h in heard}) == 2


def test_new_code_is_not_served_under_the_old_version(start, photo, write):
    pool, heard = start(MODEL), Heard()
    write("a_model.py", MODEL + "    # changed")
    with pytest.raises(NotServing, match="have changed"):
        pool.run(tasks(photo, 1, "exit", 3), heard)
    assert heard.kinds() == ["succeeded", "retry"]
    write("a_model.py", MODEL)
    pool.run(tasks(photo, 3), heard_again := Heard())
    assert heard_again.kinds() == ["succeeded"]


def test_a_process_ends_when_its_parent_has(write):
    import subprocess
    import sys
    path = write("a_model.py", "import os, sys, time\ndef predict(image):\n    print('pid', os.getpid(), flush=True)\n"
                               "    time.sleep(60)\n")
    script = ("import sys; sys.path.insert(0, %r); from darkroom_worker.pool import *; "
              "p = Pool(Spec(%r)); p.start(); "
              "p.run([Task('a', '/dev/null')], Listener())" % (os.path.dirname(os.path.dirname(__file__)), path))
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    child = int(parent.stderr.readline().split()[1])
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    until = time.monotonic() + 60
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
