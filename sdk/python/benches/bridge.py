"""What the bridge adds to a server that expects to be called: its pause between an answer and the next request, against that of a bare
loop that makes the same requests of the same server in the same run.

    python benches/bridge.py                                            the servers of the tests, and the in-memory queue
    python benches/bridge.py --binary target/release/darkroom           and a private server of that program
    python benches/bridge.py --protocol cog --url http://127.0.0.1:5000 --field image       a model server of yours

A forwarder before the server writes down when each request came and when its answer was gone; the queue is full before the bridge
starts. Medians, for on a busy machine the mean is the scheduler's; `ms` is the time from the first request to the last answer for each image.
"""
import argparse
import contextlib
import multiprocessing
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import pushed  # noqa: E402
from overhead import private  # noqa: E402
from sides import InMemory  # noqa: E402

from darkroom_worker.bridge.protocol import Call, Options  # noqa: E402
from darkroom_worker.bridge.serve import Bridged  # noqa: E402
from darkroom_worker.process import Task  # noqa: E402

PHOTOS = ROOT.parents[1] / "examples/photos"
TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
PROTOCOLS = {"multipart": None, "cog": "photo", "kserve": "photo", "labelstudio": "photo"}  # and the field of their test server


def serve(protocol, ports):
    """A process with the tests' server of this protocol, which tells its port."""
    with getattr(pushed, protocol)() as made:
        ports.put(made.port)
        time.sleep(3600)


def forward(host, port, told):
    """A process that forwards to a server. Tells its port, then, asked by a byte at it, when predictions came and went."""
    listener, times = socket.create_server(("127.0.0.1", 0)), []
    told.put(listener.getsockname()[1])

    def pump(one, other):
        try:
            while True:
                data = one.recv(1 << 18)
                if not data:
                    break
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def connected(client, began):
        first = client.recv(1 << 18)
        if first == b"?":
            told.put([times.pop(0) for _ in range(len(times))])
            return client.close()
        with socket.create_connection((host, port)) as server, client:
            server.sendall(first)
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            pump(server, client)
            if first.startswith((b"POST", b"PUT")) and b" /setup " not in first[:80]:
                times.append((began, time.monotonic()))
    while True:
        client, _ = listener.accept()
        threading.Thread(target=connected, args=(client, time.monotonic()), daemon=True).start()


def measured(port, told, count):
    """The usual pause between an answer and the next request, and the time for each image, in ms."""
    socket.create_connection(("127.0.0.1", port)).sendall(b"?")
    times = sorted(told.get(timeout=10))
    assert len(times) >= count, "%d of %d were asked about" % (len(times), count)
    pauses = [later[0] - one[1] for one, later in zip(times, times[1:])]
    return 1e3 * statistics.median(pauses), 1e3 * (times[-1][1] - times[0][0]) / len(times)


def directly(bridged, files, params):
    """The requests of a bare loop, in a process of its own."""
    protocol = bridged.open()
    protocol.ready()
    protocol.about()
    for n, file in enumerate(files):
        protocol.predict(Call(Task("d%d/1" % n, file, media_type=TYPES[pathlib.Path(file).suffix], params=params, limit_s=60)))
    protocol.close()


def through(side, bridged, photos, params, folder):
    """The same through the queue and the bridge."""
    environment = {**os.environ, "DARKROOM_URL": side.url, "DARKROOM_API_KEY": side.key(bridged.name), "PYTHONPATH": str(ROOT),
                   "DARKROOM_READY_FILE": folder + "/ready"}
    field = ["--field", bridged.options.field] if bridged.options.field else []
    command = [sys.executable, "-m", "darkroom_worker", "bridge", "--protocol", bridged.protocol, "--url", bridged.url, "--name", bridged.name,
               "--model", bridged.options.model, "--burst", *field]
    quiet = {"env": environment, "stderr": subprocess.DEVNULL, "check": True, "timeout": 600}
    subprocess.run(command, **quiet)  # makes the model known
    for photo in photos:
        side.submit(photo, bridged.name, params=params)
    subprocess.run(command, **quiet)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="images of each run")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="of the server at --url, or of the only one of the tests")
    parser.add_argument("--url")
    parser.add_argument("--field")
    parser.add_argument("--model", default="m", help="its name on a KServe server")
    parser.add_argument("--binary", metavar="PATH", help="start a private server of this program")
    args = parser.parse_args()
    with private(args.binary) if args.binary else contextlib.closing(InMemory()) as side:
        compare(side, args)


def compare(side, args):
    """A line for each protocol."""
    found = sorted(path for path in PHOTOS.iterdir() if path.suffix in TYPES)
    photos = [found[n % len(found)].read_bytes() + uuid.uuid4().bytes for n in range(args.count)]
    print("%d photographs of %d kB, the %s server" % (len(photos), sum(map(len, photos)) // len(photos) // 1000, side.name))
    print("%-12s %10s %10s %14s %14s %12s" % ("protocol", "bare ms", "bridge ms", "bare pause", "bridge pause", "overhead ms"))
    spawn = multiprocessing.get_context("spawn")
    for protocol in [args.protocol] if args.protocol else PROTOCOLS:
        told, url, processes = spawn.Queue(), args.url, []
        if url is None:
            processes.append(spawn.Process(target=serve, args=(protocol, told), daemon=True))
            processes[-1].start()
            url = "http://127.0.0.1:%d" % told.get(timeout=30)
        at = urllib.parse.urlsplit(url)
        processes.append(spawn.Process(target=forward, args=(at.hostname, at.port, told), daemon=True))
        processes[-1].start()
        port = told.get(timeout=30)
        options = Options(args.field or (PROTOCOLS[protocol] if args.url is None else None), args.model)
        bridged = Bridged(protocol, "http://127.0.0.1:%d" % port, "bench_" + uuid.uuid4().hex[:8], None, options)
        params = {"kind": "a"} if protocol == "cog" and args.url is None else {}
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, "%d%s" % (n, found[n % len(found)].suffix)) for n in range(args.count)]
            for file, photo in zip(files, photos):
                pathlib.Path(file).write_bytes(photo)
            loop = spawn.Process(target=directly, args=(bridged, files, params))
            loop.start()
            loop.join(600)
            assert loop.exitcode == 0, "the bare loop failed"
            bare_pause, bare = measured(port, told, args.count)
            through(side, bridged, photos, params, folder)
            pause, bridge = measured(port, told, args.count)
        print("%-12s %10.2f %10.2f %14.2f %14.2f %12.2f" % (protocol, bare, bridge, bare_pause, pause, pause - bare_pause), flush=True)
        for process in processes:
            process.kill()


if __name__ == "__main__":
    main()
