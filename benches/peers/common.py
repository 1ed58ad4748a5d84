"""What the Python adapters share: a job, and the turn (warm up, say ready, wait for a line, work, say how long it took)."""

import json
import os
import sys
import time

JOBS = int(os.environ["JOBS"])
REDIS = os.environ["PEER_REDIS"]
WARM_UP = 200
# Processes that work: one for each core of the machine that the figures are of.
WORKERS = 2
# Seconds between two looks at how many are done.
LOOK_S = 0.005
DOCUMENT = {
    "items": [{"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face"}],
    "fields": {"faces": 1},
    "summary": "1 face",
}


def predict(image, params):
    """What a model says of an image."""
    return DOCUMENT


def work(enqueue, done, jobs):
    """Enqueues, and waits until so many more are done; answers seconds."""
    goal = done() + jobs
    start = time.perf_counter()
    enqueue(range(jobs))
    while done() < goal:
        time.sleep(LOOK_S)
    return time.perf_counter() - start


def measure(enqueue, done):
    work(enqueue, done, min(WARM_UP, JOBS))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"jobs": JOBS, "seconds": work(enqueue, done, JOBS)}), flush=True)
    sys.stdin.readline()
