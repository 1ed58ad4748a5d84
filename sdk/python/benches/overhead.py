"""What the worker adds to a model: ms per image from the first prediction to the last, against the same in a bare loop.

    python benches/overhead.py                                         the in-memory server
    python benches/overhead.py --binary target/release/darkroom        a private server of that program, with PostgreSQL and Redis
    python benches/overhead.py --server URL --password-file FILE       a server that runs, as its administrator `admin`

The queue is full before the worker starts. `sleep` and `busy` models take 20 ms for each image, `saving` takes 20 ms for a
call and 2 ms for each image, `empty` takes nothing. Worker and bare loop take turns, and the medians of the rounds are shown.
`pause` is the median time between two calls of the model: on a busy machine it says more than the mean, in which the
scheduler's delays count.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from sides import InMemory, Real, ask  # noqa: E402

from darkroom_worker.testing import png  # noqa: E402

START_S = 180  # a private server fetches what it lacks
RUN_S = 600    # the longest that one run of a worker may take
MODEL = '''
import atexit, json, os, time
kind, times = os.environ["BENCH_KIND"], []
version = "1"

def work(count):
    began = time.monotonic()
    if kind == "sleep": time.sleep(0.02 * count)
    if kind == "saving": time.sleep(0.02 + 0.002 * count)
    if kind == "busy":
        while time.monotonic() < began + 0.02 * count: pass
    times.append((began, time.monotonic(), count))

def predict_batch(images):
    work(len(images))
    return [{"n": 1}] * len(images)

atexit.register(lambda: open(os.environ["BENCH_OUT"], "w").write(json.dumps(times)))
'''


@contextlib.contextmanager
def private(binary):
    """A server of this program with servers of its own under target/overhead, as `darkroom dev` starts them."""
    folder = ROOT.parents[1] / "target" / "overhead"
    folder.mkdir(parents=True, exist_ok=True)
    cargo = folder / "cargo"  # `dev` builds before it starts: this one is built
    cargo.write_text("#!/bin/sh\n")
    cargo.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment.update(PATH="%s:%s" % (folder, os.environ["PATH"]), DARKROOM_LISTEN=address)
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen([str(pathlib.Path(binary).resolve()), "dev"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_S
        while not is_ready(address):
            if server.poll() is not None or time.monotonic() > until:
                sys.exit("%s dev did not start: see %s" % (binary, log.name))
            time.sleep(0.1)
        yield Real("http://" + address, (folder / ".darkroom" / "dev-admin.password").read_text().strip())
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def is_ready(address):
    try:
        with urllib.request.urlopen("http://%s/health/ready" % address, timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def fill(side, model, first, count):
    """Queues that many images, of which no two are the same; on a real server a hundred in a request."""
    if isinstance(side, InMemory):
        for n in range(first, first + count):
            side.submit(png(n, 32, 32), model)
        return
    for start in range(first, first + count, 100):
        edge = uuid.uuid4().hex
        parts = [('--%s\r\nContent-Disposition: form-data; name="models"\r\n\r\n%s\r\n' % (edge, model)).encode()]
        for n in range(start, min(first + count, start + 100)):
            head = '--%s\r\nContent-Disposition: form-data; name="images"; filename="%d.png"\r\n\r\n' % (edge, n)
            parts += [head.encode(), png(n, 32, 32), b"\r\n"]
        status, told, _ = ask(side.url, "POST", "/predict", b"".join(parts) + ("--%s--\r\n" % edge).encode(),
                              dict(side.user, **{"Content-Type": "multipart/form-data; boundary=" + edge}))
        assert status == 202, told


class Worker:
    """A worker of a model of its own, run until the queue is empty."""

    def __init__(self, side, kind, batch, folder):
        self.side, self.model = side, "bench_%s_%s" % (kind, uuid.uuid4().hex[:8])
        self.times, path = folder / "times.json", folder / (self.model + ".py")
        path.write_text(MODEL)
        self.command = [sys.executable, "-m", "darkroom_worker", "run", str(path), "--batch", str(batch), "--burst"]
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "DARKROOM_URL": side.url, "BENCH_KIND": kind,
                            "DARKROOM_API_KEY": side.key(self.model), "BENCH_OUT": str(self.times)}
        self.run()  # makes the model known

    def run(self):
        subprocess.run(self.command, env=self.environment, stderr=subprocess.DEVNULL, timeout=RUN_S, check=True)

    def serve(self, first, count):
        """Seconds per image, the largest batch of the second half, and the usual pause between two calls in seconds."""
        fill(self.side, self.model, first, count)
        self.run()
        times = json.loads(self.times.read_text())
        assert sum(n for _, _, n in times) == count, "a prediction was made twice"
        pauses = [later[0] - one[1] for one, later in zip(times, times[1:])]
        return (times[-1][1] - times[0][0]) / count, max(n for _, _, n in times[len(times) // 2:]), statistics.median(pauses)


def bare(kind, batch, count):
    """Seconds per image of the same work in a loop."""
    os.environ["BENCH_KIND"] = kind
    names = {"__name__": "bare"}
    exec(MODEL.replace("atexit.register", "(lambda f: None)"), names)
    calls = max(1, count // batch)
    began = time.monotonic()
    for _ in range(calls):
        names["predict_batch"]([None] * batch)
    return (time.monotonic() - began) / (calls * batch)


def measure(side, args):
    """A line for each model and batch."""
    print("%-8s %6s %6s %10s %10s %12s %8s %10s" % (
        "model", "batch", "size", "bare ms", "worker ms", "overhead ms", "of bare", "pause ms"))
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.kinds.split(","):
            for batch in args.batches.split(","):
                worker, rounds = Worker(side, kind, batch, pathlib.Path(folder)), []
                for turn in range(args.rounds):
                    worker_s, size, pause_s = worker.serve(turn * args.count, args.count)
                    bare_s = bare(kind, size, args.count)
                    rounds.append((size, bare_s * 1e3, worker_s * 1e3, (worker_s - bare_s) * 1e3, bare_s / worker_s, pause_s * 1e3))
                shown = tuple(statistics.median(column) for column in zip(*rounds))
                print("%-8s %6s %6d %10.3f %10.3f %12.3f %8.3f %10.3f" % ((kind, batch) + shown), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="sleep,busy,empty,saving")
    parser.add_argument("--batches", default="1,8,32,auto")
    parser.add_argument("--count", type=int, default=256, help="images of each run")
    parser.add_argument("--rounds", type=int, default=3, help="turns that worker and bare loop take")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--binary", metavar="PATH", help="start a private server of this program")
    where.add_argument("--server", metavar="URL", help="use a server that runs")
    parser.add_argument("--password-file", metavar="FILE", help="holds the password of the administrator of --server")
    args = parser.parse_args()
    if bool(args.server) != bool(args.password_file):
        parser.error("--server and --password-file go together")
    if args.binary:
        with private(args.binary) as side:
            return measure(side, args)
    side = Real(args.server, pathlib.Path(args.password_file).read_text().strip()) if args.server else InMemory()
    try:
        measure(side, args)
    finally:
        side.close()


if __name__ == "__main__":
    main()
