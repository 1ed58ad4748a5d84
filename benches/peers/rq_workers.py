"""RQ, enqueueing by pipelines; workers that do not fork for every job, which is its fastest way."""

import subprocess
import sys

from redis import Redis
from rq import Queue

from common import REDIS, WORKERS, measure, predict

BATCH = 1000

connection = Redis.from_url(REDIS)
queue = Queue("predict", connection=connection)
finished = queue.finished_job_registry.key


def enqueue(images):
    for first in range(0, len(images), BATCH):
        queue.enqueue_many([Queue.prepare_data(predict, (n, {})) for n in images[first : first + BATCH]])


rq = ["-m", "rq.cli", "worker-pool", "--quiet", "-l", "ERROR", "-n", str(WORKERS), "-u", REDIS]
workers = subprocess.Popen([sys.executable, *rq, "-w", "rq.worker.SimpleWorker", "predict"], stdout=subprocess.DEVNULL)
try:
    measure(enqueue, lambda: connection.zcard(finished))
finally:
    workers.terminate()
    workers.wait()
