"""Train, promote, predict: starts a run on a dataset, follows it, makes its network a version of a model, has that read all pictures that
were held out, and compares with what scikit-learn says of them. Ends with 0 only if both say the same of each.

    python walk.py --server http://127.0.0.1:8080 --user rosa --password-file rosa.txt [model=sgd learning_rate=[0.001,0.01] …]

Speaks HTTP. It wants a service of the dataset (`darkroom-worker train digits/digits.py`), and starts that of the model itself.
"""
import argparse
import hashlib
import importlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zlib

WAIT_S = 30  # of one request
PATIENCE_S = 600  # of the walk, for each of its steps
AT_ONCE = 150  # pictures of one upload
WIDTH = 40  # of the curve, in characters
EXAMPLES = pathlib.Path(__file__).resolve().parent
SERVICE = EXAMPLES / "onnx_predict" / "onnx_predict.py"


class Darkroom:
    """A server, for one account."""

    def __init__(self, base, user, password):
        self.base, self.token = base.rstrip("/"), None
        form = urllib.parse.urlencode({"username": user, "password": password}).encode()
        self.token = self.ask("POST", "/auth/login", form, "application/x-www-form-urlencoded")["access_token"]

    def ask(self, method, path, body=None, kind="application/json"):
        """One request and its JSON. A refusal ends the walk with what the server says."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": kind} if data else {}, method=method)
        if self.token:
            request.add_header("Authorization", "Bearer " + self.token)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S + 30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit("%s %s: %d %s" % (method, path, error.code, error.read().decode("utf-8", "replace"))) from None
        except OSError as error:
            raise SystemExit("%s %s: %s" % (method, path, error)) from None


def until(step, ask):
    """What `ask` answers, as soon as it is something."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        found = ask()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit("%s: not within %d s" % (step, PATIENCE_S))


def train(server, dataset, params):
    """Starts a run and draws its metrics while they come. Answers the run."""
    def live():
        return any(one["dataset"] == dataset for one in server.ask("GET", "/training/datasets?limit=500")["items"])
    if not live():
        print("nobody trains on {0} yet: start darkroom-worker train examples/{0}/{0}.py, with a train key for {0}".format(dataset), flush=True)
        until("a service of " + dataset, live)
    run = server.ask("POST", "/training/train", {"dataset": dataset, "submission": str(uuid.uuid4()), **params})
    print("run %s, with %s" % (run["id"], json.dumps(run["params"])), flush=True)
    seen, path, drawn = 0, "/training/results/" + run["id"], set()
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        run = server.ask("GET", "%s?wait_s=%d&after=%d" % (path, WAIT_S, seen))
        seen = run["revision"]
        for point in run["metrics"]:
            if (point["attempt"], point["epoch"]) not in drawn:
                drawn.add((point["attempt"], point["epoch"]))
                draw(point)
        if run["state"] not in ("queued", "running"):
            break
    if run["state"] != "succeeded" or not run["model"]:
        raise SystemExit("the run is %s: %s" % (run["state"], json.dumps(run["error"] or run["reason"])))
    return run


def draw(point):
    """An epoch's line: how much of what was held out is read rightly, as a bar."""
    values = point["values"]
    bar = "█" * round(WIDTH * values["val_accuracy"])
    print("epoch %3d  loss %8.4f  val_accuracy %6.4f  %s" % (point["epoch"], values["loss"], values["val_accuracy"], bar), flush=True)


def serve(server, run, model, python):
    """Starts the model's service with a key of its own. Answers its process, and the version that it serves."""
    promoted = server.ask("POST", "/training/results/%s/promote" % run["id"], {"model": model})
    print("promoted: %s %s, %d bytes, sha256 %s" % (promoted["model"], promoted["version"], promoted["bytes"], promoted["sha256"]))
    key = server.ask("POST", "/auth/key", {"service": "predict", "models": [model], "detail": "examples/walk.py"})
    said = {"DARKROOM_URL": server.base, "DARKROOM_API_KEY": key["key"], "DARKROOM_RUN": run["id"], "DARKROOM_NAME": model}
    process = subprocess.Popen([python, "-m", "darkroom_worker", "run", str(SERVICE)], env={**os.environ, **said})

    def registered():
        if process.poll() is not None:
            raise SystemExit("the model's service ended with %d" % process.returncode)
        workers = server.ask("GET", "/workers?limit=500")["items"]
        return any((one["model"], one["version"]) == (model, promoted["version"]) for one in workers)
    try:
        until("the model's service", registered)
    except BaseException:
        process.terminate()
        raise
    return process, promoted["version"]


def predict(server, pictures, model):
    """Sends pictures through the queue. Answers the results by MD5."""
    submission = str(uuid.uuid4())
    for first in range(0, len(pictures), AT_ONCE):
        body, kind = multipart(pictures[first:first + AT_ONCE], {"models": model, "submission": submission})
        answer = server.ask("POST", "/predict", body, kind)
        if answer["rejected"]:
            raise SystemExit("rejected: %s" % json.dumps(answer["rejected"][0]))
    ended = until("the predictions", lambda: done(server, "/submissions/%s?wait_s=%d" % (submission, WAIT_S)))
    print("predicted: %s" % json.dumps(ended["models"]))
    hashes, results = sorted({hashlib.md5(picture).hexdigest() for picture in pictures}), {}
    for first in range(0, len(hashes), 1000):
        asked = {"images": hashes[first:first + 1000], "results": True}
        results.update((one["md5"], one["results"].get(model)) for one in server.ask("POST", "/predict/status", asked)["items"])
    return results


def judge(server, photographs, model):
    """Sends photographs through the queue, and prints what is said of each."""
    files = {photograph.name: photograph.read_bytes() for photograph in photographs}
    results = predict(server, list(files.values()), model)
    for name, data in files.items():
        [first, *_] = results[hashlib.md5(data).hexdigest()]["items"]
        print("%-24s %s %.2f" % (name, first["label"], first["score"]))


def done(server, path):
    answer = server.ask("GET", path)
    return answer if answer["done"] else None


def multipart(pictures, fields):
    """A form with these fields and pictures, and its media type."""
    limit = uuid.uuid4().hex
    sent = [('name="%s"' % name, "", value.encode()) for name, value in fields.items()]
    sent += [('name="images"; filename="%d.png"' % index, "Content-Type: image/png\r\n", picture) for index, picture in enumerate(pictures)]
    body = b"".join(b"--%s\r\nContent-Disposition: form-data; %s\r\n%s\r\n%s\r\n" % (limit.encode(), head.encode(), more.encode(), value)
                    for head, more, value in sent)
    return body + b"--%s--\r\n" % limit.encode(), "multipart/form-data; boundary=" + limit


def png(rows):
    """A grey picture as a file, from its rows of bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + \
        chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))) + chunk(b"IEND", b"")


def compare(pictures, results, own, truth, version):
    """How many of the answers are scikit-learn's own; prints what is not."""
    same = right = 0
    for index, (picture, wanted, shown) in enumerate(zip(pictures, own, truth)):
        result = results.get(hashlib.md5(picture).hexdigest()) or {"version": None, "items": []}
        said = [item["label"] for item in result["items"]][:1]
        same += said == [str(wanted)] and result["version"] == version
        right += said == [str(shown)]
        if said != [str(wanted)] or result["version"] != version:
            print("picture %d: %s by %s, and scikit-learn says %s" % (index, said, result["version"], wanted))
    print("%d of %d as scikit-learn itself; %d of them are right (%.1f %%)" % (same, len(pictures), right, 100 * right / len(pictures)))
    return same


def value_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=os.environ.get("DARKROOM_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--user", required=True, help="a researcher")
    parser.add_argument("--password-file", required=True)
    parser.add_argument("--dataset", default="digits", help="digits or faces: a folder beside this file")
    parser.add_argument("--model", help="what the network becomes a version of [default: the dataset's name and _onnx]")
    parser.add_argument("--photos", type=pathlib.Path, metavar="FOLDER", help="photographs to be judged, too, each as a whole")
    parser.add_argument("--python", default=sys.executable, help="the Python in which examples/onnx_predict/requirements.txt is installed")
    parser.add_argument("params", nargs="*", metavar="NAME=VALUE", help="the run's parameters, as model=sgd")
    args = parser.parse_args()
    params = {name: value_of(value) for name, _, value in (one.partition("=") for one in args.params)}
    sys.path.insert(0, str(EXAMPLES / args.dataset))
    trainer, model = importlib.import_module(args.dataset), args.model or args.dataset + "_onnx"
    server = Darkroom(args.server, args.user, pathlib.Path(args.password_file).read_text().strip())
    run = train(server, args.dataset, params)
    held_out, truth = trainer.held_out(**{name: run["params"][name] for name in ("seed", "split") if name in run["params"]})
    pictures = [png(picture.tolist()) for picture in held_out]
    process, version = serve(server, run, model, args.python)
    try:
        results = predict(server, pictures, model)
        if args.photos:
            judge(server, sorted(args.photos.glob("*.[jp][pn]g")), model)
    finally:
        process.terminate()
        process.wait(60)
    return 0 if compare(pictures, results, run["result"]["held_out"], truth.tolist(), version) == len(pictures) else 1


if __name__ == "__main__":
    sys.exit(main())
