"""Celery with Redis as broker and for results; worker processes as it comes, results kept."""

import subprocess
import sys

from celery import Celery
from redis import Redis

from common import REDIS, WORKERS, measure, predict

app = Celery("peers", broker=REDIS, backend=REDIS)
task = app.task(name="predict")(predict)
# Not a result, but there from time to time.
OTHERS = ["celery", "unacked", "unacked_index", "unacked_mutex"]

if __name__ == "__main__":
    connection = Redis.from_url(REDIS)
    celery = ["-m", "celery", "--quiet", "-A", "celery_workers", "worker", "-l", "ERROR", "-c", str(WORKERS)]
    workers = subprocess.Popen([sys.executable, "-W", "ignore", *celery, "--without-gossip", "--without-mingle"], stdout=subprocess.DEVNULL)

    def done():
        """Keys that are results, and a few that never change."""
        size, others = connection.pipeline(transaction=False).dbsize().exists(*OTHERS).execute()
        return size - others

    def enqueue(images):
        for n in images:
            task.delay(n, {})

    try:
        # Its bindings are keys too: they are there when the first job is done.
        task.delay(0, {}).get(timeout=30)
        measure(enqueue, done)
    finally:
        workers.terminate()
        workers.wait()
