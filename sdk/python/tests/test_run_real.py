"""`darkroom-worker run` against a real server, if the environment names one (see `sides.Real`)."""
import json
import os
import time
import uuid

import pytest
from serving import Serving, png
from sides import Real, ask

pytestmark = pytest.mark.skipif("DARKROOM_TEST_URL" not in os.environ, reason="needs a real server")
WAIT_S = 60
MODEL = '''
import os, time
labels = ["a"]
def predict_batch(images, *, n: int = 1):
    time.sleep(0.01)
    if any(image.size[0] == 9 for image in images): os._exit(3)
    return [{"items": [], "fields": {"size": list(image.size), "n": n}} for image in images]
'''


class Key:
    """What `Serving` asks of a server: the variables that name it and its key."""

    def __init__(self, side, model):
        self.environment = lambda: {"DARKROOM_URL": side.url, "DARKROOM_API_KEY": side.key(model)}


def test_a_real_queue_is_served_and_left(write):
    side, model = Real(), "run_" + uuid.uuid4().hex[:8]
    path = write(model + ".py", MODEL)
    worker = Serving(Key(side, model), path, "--batch", 4)
    try:
        worker.hears("registered")
        jobs = [side.submit(png(8 + n, 8) + uuid.uuid4().bytes, model, params={"n": 2}) for n in range(12)]
        until = time.monotonic() + WAIT_S
        states = []
        while time.monotonic() < until and states.count("succeeded") < 11:
            states = [side.state(job)[0] for job in jobs]
            time.sleep(0.1)
        told = ask(side.url, "GET", "/jobs/" + jobs[1], headers=side.user)[1]
        assert states[0] == "succeeded" and states[2:] == ["succeeded"] * 10, worker.said
        assert told["state"] in ("queued", "running") and "exit code 3" in json.dumps(told), told
        side.cancel(jobs[1])
        worker.signal()
        worker.ends(0)
        alive = ask(side.url, "GET", "/workers?model=" + model, headers=side.user)[1]["items"]
        assert not [one for one in alive if one["alive"]]
    finally:
        worker.kill()
