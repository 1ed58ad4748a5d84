"""`darkroom-worker train` against a server that hands out runs."""
import os
import re
import signal
import subprocess
import sys

from desk import Desk

MODULE = '''
"""Digits."""
name, version = "digits", "7"
def train(run, *, epochs: int = 3, rate: float = 0.1):
'''


def trains(tmp_path, code, runs, *flags, faults=(), code_wanted=0, during=None, timeout_s=90):
    """Serves these runs with a module whose `train` has this body; returns the desk and what was said."""
    file = tmp_path / "digits.py"
    file.write_text(MODULE + "\n".join("    " + line for line in code.splitlines()) + "\n")
    with Desk(runs, faults) as desk:
        process = subprocess.Popen(
            [sys.executable, "-m", "darkroom_worker", "train", str(file), "--server", desk.url, *(flags or ("--burst",))],
            stderr=subprocess.PIPE, text=True, env={**os.environ, "DARKROOM_API_KEY": "dr_key_secret"})
        try:
            if during is not None:
                during(desk, process)
            said = process.communicate(timeout=timeout_s)[1]
        finally:
            process.kill()
    assert process.returncode == code_wanted, said
    return desk, said


EPOCHS = '''
import json
begun = json.load(open(run.resume))["epoch"] if run.resume else 0
for epoch in range(begun + 1, epochs + 1):
    run.metric(epoch=epoch, loss=1 / epoch, rate=rate)
    run.checkpoint(json.dumps({"epoch": epoch}).encode(), epoch=epoch)
    run.progress(epoch / epochs)
open("%s/model.onnx", "wb").write(b"weights" * 1000)
run.save("%s/model.onnx")
return {"loss": 1 / epochs, "begun": begun}
'''


def test_a_run_measures_keeps_checkpoints_saves_its_model_and_ends(tmp_path):
    desk, _ = trains(tmp_path, EPOCHS % (tmp_path, tmp_path), [{"params": {"rate": 1}}], faults={"model": [503, 429], "metrics": [500]})
    about = desk.registered[0]
    assert (about["service"], about["dataset"], about["version"], about["description"]) == ("train", "digits", "7", "Digits.")
    assert about["params_schema"]["properties"]["epochs"] == {"type": "integer", "default": 3}
    assert [point["epoch"] for point in desk.metrics] == [1, 2, 3] and desk.metrics[0]["values"] == {"loss": 1.0, "rate": 1.0}
    assert [epoch for epoch, _ in desk.files["checkpoint"]] == ["1", "2", "3"]
    assert desk.files["model"] == [("model.onnx", b"weights" * 1000)]
    [item] = desk.completed
    assert item["outcome"] == "succeeded" and item["result"] == {"loss": 1 / 3, "begun": 0} and desk.left


def test_another_attempt_goes_on_from_the_checkpoint(tmp_path):
    desk, _ = trains(tmp_path, EPOCHS % (tmp_path, tmp_path), [{"checkpoint": b'{"epoch": 2}', "lease_no": 4}])
    assert [point["epoch"] for point in desk.metrics] == [3]
    assert (desk.completed[0]["result"]["begun"], desk.completed[0]["lease_no"]) == (2, 4)


def test_what_fails_is_told_and_the_next_run_goes_on(tmp_path):
    code = '''
import os
if rate == 1: raise ValueError("too steep")
if rate == 2: os._exit(3)
if rate == 3: run.metric(epoch=1, loss=float("nan"))
if rate == 4:
    from darkroom_worker import Reject
    raise Reject("never")
if rate == 5: return "x" * 2000
return rate
'''
    desk, _ = trains(tmp_path, code, [{"params": {"rate": rate}} for rate in (1, 2, 3, 4, 5, 6)] + [{"params": {"speed": 1}}])
    told = [(item["outcome"], (item.get("error") or {}).get("type"), (item.get("error") or {}).get("message")) for item in desk.completed]
    assert told[0] == ("retry", "ValueError", "too steep")
    assert told[1][:2] == ("retry", "ModelDied") and "exit code 3" in told[1][2]
    assert told[2][:2] == ("rejected", "InvalidResult") and "/loss" in told[2][2]
    assert told[3] == ("rejected", "Reject", "never")
    assert told[4][:2] == ("rejected", "InvalidResult") and "1000 bytes" in told[4][2]
    assert told[5][0] == "succeeded" and desk.completed[5]["result"] == 6.0
    assert told[6][0] == "rejected" and "'speed'" in told[6][2]


def test_a_run_that_is_no_longer_ours_ends_here_and_is_not_completed(tmp_path):
    code = '''
import time
for epoch in range(1, 1000):
    run.metric(epoch=epoch, loss=1.0)
    time.sleep(0.05)
'''
    cancelled = lambda desk, _: (desk.wait(lambda d: d.held), desk.stop.update(desk.held))  # noqa: E731
    desk, said = trains(tmp_path, code, [{}], during=cancelled)
    assert not desk.completed and "no longer ours" in said
    # The same when a metric is answered that the lease is another's.
    desk, said = trains(tmp_path, code, [{}], faults={"metrics": [409]})
    assert not desk.completed and re.search("ended as cancelled", said)


def test_what_the_server_refuses_of_a_run_ends_it(tmp_path):
    desk, _ = trains(tmp_path, 'run.checkpoint(b"large", epoch=1)\nreturn 1', [{}], faults={"checkpoint": [413]})
    [item] = desk.completed
    assert item["outcome"] == "rejected" and "a fault of checkpoint" in item["error"]["message"]


def test_a_first_signal_finishes_the_run_and_a_second_gives_it_back(tmp_path):
    go_on = tmp_path / "go_on"
    code = 'import os, time\nrun.metric(epoch=1, loss=1.0)\nwhile rate != 1 or not os.path.exists(%r): time.sleep(0.02)' % str(go_on)

    def one(desk, process):
        desk.wait(lambda d: d.metrics)
        process.send_signal(signal.SIGTERM)
        desk.wait(lambda d: d.draining)
        go_on.touch()

    desk, _ = trains(tmp_path, code, [{"params": {"rate": 1}}, {}], "--timeout", "50", during=one)
    assert len(desk.completed) == 1 and desk.runs and desk.left

    def two(desk, process):
        desk.wait(lambda d: d.metrics)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)

    desk, said = trains(tmp_path, code, [{}], "--timeout", "50", during=two, code_wanted=130)
    assert not desk.completed and len(desk.released) == 1, said


def test_a_session_that_was_given_up_is_opened_anew_and_a_revoked_key_ends_it(tmp_path):
    desk, said = trains(tmp_path, "return 1", [{}], faults={"claim": [410]})
    assert len(desk.registered) == 2 and len(desk.completed) == 1 and "registering again" in said
    _, said = trains(tmp_path, "return 1", [{}], faults={"claim": [401]}, code_wanted=3)


def test_a_run_that_takes_too_long_is_killed(tmp_path):
    desk, _ = trains(tmp_path, "import time\ntime.sleep(600)", [{}], "--burst", "--timeout", "0.2")
    [item] = desk.completed
    assert (item["outcome"], item["error"]["type"]) == ("retry", "TimedOut")


def test_a_module_without_train_is_not_registered(tmp_path):
    file = tmp_path / "nothing.py"
    file.write_text("x = 1\n")
    with Desk([]) as desk:
        done = subprocess.run([sys.executable, "-m", "darkroom_worker", "train", str(file), "--server", desk.url], capture_output=True,
                              text=True, timeout=90, env={**os.environ, "DARKROOM_API_KEY": "dr_key_secret"})
    assert done.returncode == 1 and "train(run)" in done.stderr and not desk.registered
