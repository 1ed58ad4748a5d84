"""What the bridge adds to a server that expects to be called: its pause between an answer and the next request, against
that of a bare loop that makes the same requests.

    python benches/bridge.py

The server answers at once and writes down when; the queue is full before the bridge starts. Medians, for on a busy machine
the mean is the scheduler's.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pushed  # noqa: E402

from darkroom_worker.bridge.protocol import Call, Options  # noqa: E402
from darkroom_worker.bridge.serve import Bridged  # noqa: E402
from darkroom_worker.process import Task  # noqa: E402
from darkroom_worker.testing import Server, png  # noqa: E402

PROTOCOLS = ("multipart", "cog", "kserve", "labelstudio")


def serve(protocol, ports):
    """A process with a server of this protocol, which tells its port and then, at /times, when it was asked and answered."""
    made, times = getattr(pushed, protocol)(), []
    path = next(path for path in made.answers if path.endswith(("/predict", "/infer", "/predictions/[^/]*")))
    predict = made.answers[path]

    def timed(request):
        began, told = time.monotonic(), predict(request)
        times.append((began, time.monotonic()))
        return told
    made.answers[path] = timed
    made.answers["/times"] = lambda _: [times.pop(0) for _ in range(len(times))]
    with made:
        ports.put(made.port)
        time.sleep(600)


def pause_ms(url):
    """The usual pause between an answer and the next request."""
    with urllib.request.urlopen(url + "/times", timeout=10) as answer:
        times = json.load(answer)
    return 1e3 * statistics.median(later[0] - one[1] for one, later in zip(times, times[1:]))


def directly(bridged, photo, count, path):
    """The requests of a bare loop."""
    protocol = bridged.open()
    protocol.ready()
    protocol.about()
    pathlib.Path(path).write_bytes(photo)
    for n in range(count):
        protocol.predict(Call(Task("d%d/1" % n, path, media_type="image/png", params={"kind": "a"}, limit_s=30)))
    protocol.close()


def through(bridged, photos, folder):
    """The same through the bridge."""
    with Server(heartbeat_s=5, lease_s=30) as server:
        for photo in photos:
            server.add(photo, model="m", params={"kind": "a"})
        environment = {**os.environ, **server.environment(), "PYTHONPATH": str(ROOT), "DARKROOM_READY_FILE": folder + "/ready"}
        subprocess.run([sys.executable, "-m", "darkroom_worker", "bridge", "--protocol", bridged.protocol, "--url", bridged.url,
                        "--name", "m", "--field", "photo" if bridged.protocol != "multipart" else "image_file", "--burst"],
                       env=environment, stderr=subprocess.DEVNULL, check=True, timeout=300)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="images of each run")
    parser.add_argument("--side", type=int, default=256, help="width and height of the images, which are noise")
    args = parser.parse_args()
    photos = [png(n, args.side, args.side) for n in range(args.count)]
    print("%d images of %d kB" % (len(photos), len(photos[0]) // 1000))
    print("%-12s %12s %12s %14s" % ("protocol", "bare ms", "bridge ms", "overhead ms"))
    context = multiprocessing.get_context("spawn")
    for protocol in PROTOCOLS:
        ports = context.Queue()
        process = context.Process(target=serve, args=(protocol, ports), daemon=True)
        process.start()
        url = "http://127.0.0.1:%d" % ports.get(timeout=30)
        bridged = Bridged(protocol, url, "m", None, Options("photo" if protocol != "multipart" else None, "m"))
        with tempfile.TemporaryDirectory() as folder:
            directly(bridged, photos[0], args.count, folder + "/photo.png")
            bare = pause_ms(url)
            through(bridged, photos, folder)
            bridge = pause_ms(url)
        print("%-12s %12.2f %12.2f %14.2f" % (protocol, bare, bridge, bridge - bare), flush=True)
        process.kill()


if __name__ == "__main__":
    main()
