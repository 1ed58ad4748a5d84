"""What the worker adds to a model: seconds per image from the first prediction to the last, against the same in a bare loop.

    python benches/overhead.py                      the in-memory server
    DARKROOM_TEST_URL=… DARKROOM_TEST_PASSWORD=… python benches/overhead.py       a real one, as its administrator `admin`

The queue is full before the worker starts. `sleep` and `busy` models take 20 ms for each image, `saving` takes 20 ms for a
call and 2 ms for each image, `empty` takes nothing. `pause` is the median time between two calls of the model: on a busy
machine it says more than the mean, in which the scheduler's delays count.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from sides import InMemory, Real, ask  # noqa: E402

from darkroom_worker.testing import png  # noqa: E402

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


def fill(side, model, count):
    """Queues that many images; on a real server a hundred in a request."""
    if isinstance(side, InMemory):
        for n in range(count):
            side.submit(png(n, 32, 32), model)
        return
    for start in range(0, count, 100):
        edge = uuid.uuid4().hex
        parts = [('--%s\r\nContent-Disposition: form-data; name="models"\r\n\r\n%s\r\n' % (edge, model)).encode()]
        for n in range(start, min(count, start + 100)):
            head = '--%s\r\nContent-Disposition: form-data; name="images"; filename="%d.png"\r\n\r\n' % (edge, n)
            parts += [head.encode(), png(n, 32, 32), b"\r\n"]
        status, told, _ = ask(side.url, "POST", "/predict", b"".join(parts) + ("--%s--\r\n" % edge).encode(),
                              dict(side.user, **{"Content-Type": "multipart/form-data; boundary=" + edge}))
        assert status == 202, told


def serve(side, kind, batch, count, folder):
    """Seconds per image of a worker, the largest batch of its second half, and the usual pause between two calls in seconds."""
    model = "bench_%s_%s" % (kind, uuid.uuid4().hex[:8])
    out, path = folder / "times.json", folder / (model + ".py")
    path.write_text(MODEL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DARKROOM_URL": side.url, "DARKROOM_API_KEY": side.key(model),
                   "BENCH_KIND": kind, "BENCH_OUT": str(out)}
    command = [sys.executable, "-m", "darkroom_worker", "run", str(path), "--batch", str(batch), "--burst"]
    quiet = {"env": environment, "stderr": subprocess.DEVNULL, "timeout": 300, "check": True}
    subprocess.run(command, **quiet)  # makes the model known
    fill(side, model, count)
    subprocess.run(command, **quiet)
    times = json.loads(out.read_text())
    assert sum(n for _, _, n in times) == count
    pauses = [later[0] - one[1] for one, later in zip(times, times[1:])]
    return (times[-1][1] - times[0][0]) / count, max(n for _, _, n in times[len(times) // 2:]), statistics.median(pauses)


def bare(kind, batch, count):
    """Seconds per image of the same work in a loop."""
    os.environ["BENCH_KIND"] = kind
    names = {"__name__": "bare"}
    exec(MODEL.replace("atexit.register", "(lambda f: None)"), names)
    began = time.monotonic()
    for _ in range(0, count, batch):
        names["predict_batch"]([None] * batch)
    return (time.monotonic() - began) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="sleep,busy,empty,saving")
    parser.add_argument("--batches", default="1,8,32,auto")
    parser.add_argument("--count", type=int, default=512, help="images of each run")
    args = parser.parse_args()
    side = Real() if os.environ.get("DARKROOM_TEST_URL") else InMemory()
    head = ("model", "batch", "size", "bare ms", "worker ms", "overhead ms", "of bare", "pause ms")
    print("%-8s %6s %8s %12s %12s %14s %8s %10s" % head)
    with tempfile.TemporaryDirectory() as folder:
        for kind in args.kinds.split(","):
            for batch in args.batches.split(","):
                worker_s, size, pause_s = serve(side, kind, batch, args.count, pathlib.Path(folder))
                bare_s = bare(kind, size, args.count // size * size)
                print("%-8s %6s %8d %12.3f %12.3f %14.3f %8.3f %10.3f" % (
                    kind, batch, size, bare_s * 1e3, worker_s * 1e3, (worker_s - bare_s) * 1e3, bare_s / worker_s, pause_s * 1e3),
                    flush=True)
    side.close()


if __name__ == "__main__":
    main()
