"""The loop of a Darkroom microservice, in the standard library only.

A microservice calls `run()` with its model's name and a `predict(image_bytes, job)` that returns a result document.
To say "this image is bad, never try it again", predict raises ValueError; any other exception means "try again later".
Given files as arguments, a microservice needs no server: it prints one result per line.

Environment: DARKROOM_URL (http://127.0.0.1:8080), DARKROOM_API_KEY or DARKROOM_API_KEY_FILE, BATCH (4),
DARKROOM_CA_FILE (authorities to trust in place of the system's), DARKROOM_INSECURE (true: plain HTTP to another machine).
"""
import http.client
import ipaddress
import json
import logging
import os
import pathlib
import random
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
import uuid

log = logging.getLogger("darkroom")
WAIT_S = 25  # how long one claim waits on the server for work


class Gone(Exception):
    """410: the server gave this session up; register again."""


class Refused(Exception):
    """Another 4xx: sending the same again would not help."""


class Busy(Exception):
    """The server is away or asks for patience: the same request may be sent again."""

    retry_after = 0.0

    def pause(self, tries):
        """Full-jitter back-off, 0.25 s to 30 s, and never sooner than the server asked."""
        return max(self.retry_after, random.uniform(0, min(30, 0.25 * 2 ** min(tries, 10))))


class Halt(BaseException):
    """Raised in the main thread by a signal that need not wait for anything."""


class Server:
    """Sends requests to one Darkroom server."""

    def __init__(self, base, key):
        self.base, self.key = base.rstrip("/"), key
        parts = urllib.parse.urlsplit(self.base)
        far = parts.scheme == "http" and not on_this_machine(parts.hostname or "")
        if far and os.environ.get("DARKROOM_INSECURE") != "true":
            sys.exit("%s would send the key and photographs in clear over the network: use https://, or, where nobody can "
                     "listen on the way, set DARKROOM_INSECURE=true" % self.base)
        self.trust = ssl.create_default_context(cafile=os.environ.get("DARKROOM_CA_FILE") or None)

    def once(self, method, path, body=None, timeout=30):
        """One request: the answer's bytes, or Gone, Refused or Busy. The key goes to this server only."""
        url = self.base + path if path.startswith("/") else urllib.parse.urljoin(self.base + "/", path)
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        if urllib.parse.urlsplit(url)[:2] == urllib.parse.urlsplit(self.base)[:2]:
            request.add_unredirected_header("Authorization", "Bearer " + self.key)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.trust) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            kind = Gone if error.code == 410 else Busy if error.code == 429 or error.code >= 500 else Refused
            failure = kind("%s %s: %d %s" % (method, path, error.code, error.read(2000).decode("utf-8", "replace")))
            after = error.headers.get("Retry-After", "")
            failure.retry_after = float(after) if after.isdigit() else 0.0
        except (OSError, http.client.HTTPException) as error:
            failure = Busy("%s %s: %s" % (method, path, error))
        raise failure

    def call(self, method, path, body=None, timeout=30, wanted=lambda: True):
        """The same request until it is answered, or no longer wanted (then None)."""
        tries = 0
        while wanted():
            try:
                return self.once(method, path, body, timeout)
            except Busy as busy:
                pause, tries = busy.pause(tries), tries + 1
                log.warning("%s; again in %.1f s", busy, pause)
                time.sleep(pause)


class Worker:
    """One registered process: claims jobs, runs predict on each, sends the outcomes."""

    def __init__(self, server, about, predict):
        self.server, self.about, self.predict = server, about, predict
        self.ready = pathlib.Path("/tmp/darkroom-%s.ready" % about["model"])
        self.held, self.lock = {}, threading.Lock()  # job id → lease_no
        self.session, self.gone = {}, False
        self.signalled = self.drain = False
        self.waiting = True  # for the server, with nothing in hand: a signal may interrupt that
        self.finished = threading.Event()

    def on_signal(self, *_):
        """The first signal finishes what is held; a second gives it back."""
        again, self.signalled, self.drain = self.signalled, True, True
        if again or self.waiting:
            raise Halt

    def register(self):
        with self.lock:
            self.held = {}  # what an earlier session held is lost
        self.session = json.loads(self.server.call("POST", "/workers/register", self.about))
        self.gone = False
        self.ready.write_text(self.session["worker"])
        log.info("registered %(model)s %(version)s as %(worker)s", self.session)

    def beat_forever(self):
        """The heartbeat thread: says what is held, hears what was taken away."""
        pause, tries = self.session["heartbeat_s"], 0
        while not self.finished.wait(pause):
            worker, sent = self.session["worker"], self.holding()
            body = {"draining": self.drain, "jobs": [{"id": id, "lease_no": no} for id, no in sent.items()]}
            try:
                reply = json.loads(self.server.once("POST", "/workers/%s/heartbeat" % worker, body, timeout=10))
                with self.lock:  # a lease won since this beat was sent is not meant
                    self.held = {id: no for id, no in self.held.items()
                                 if id not in reply["stop"] or sent.get(id) != no}
                self.drain = self.drain or reply["drain"]
                self.ready.write_text(worker)
                pause, tries = reply["next_s"], 0
            except Gone:
                self.gone = self.gone or worker == self.session["worker"]
            except Busy as busy:
                log.warning("%s", busy)
                pause, tries = busy.pause(min(tries, 5)), tries + 1  # 2 ** 5 / 4 = 8 s: soon enough to keep the leases
            except Exception:
                log.exception("heartbeat")

    def holding(self):
        with self.lock:
            return dict(self.held)

    def holds(self, job):
        """Whether this job, or an item about it, is still ours to finish."""
        return not self.gone and self.holding().get(job["id"]) == job["lease_no"]

    def loop(self):
        """Claim, predict, complete, until told to stop."""
        while not self.drain:
            try:
                items = [self.attempt(job) for job in self.claim()]
                self.complete([item for item in items if item])
            except Gone as gone:
                self.gone = True
                log.warning("%s", gone)

    def claim(self):
        """The next jobs, [] when there are none. The claim_id stays the same however often it is sent."""
        self.waiting = True
        try:
            if self.drain:
                return []
            if self.gone or not self.session:
                self.register()
            body = {"worker": self.session["worker"], "claim_id": str(uuid.uuid4()),
                    "max": self.about["batch_max"], "wait_s": WAIT_S}
            reply = json.loads(self.server.call("POST", "/jobs/claim", body, timeout=WAIT_S + 15))
            with self.lock:
                self.held = {job["id"]: job["lease_no"] for job in reply["jobs"]}
        finally:
            self.waiting = False
        self.drain = self.drain or reply["drain"]
        return reply["jobs"]

    def attempt(self, job):
        """Fetch and predict one job: its item for /jobs/complete, or None if it was taken away."""
        item, started = {"id": job["id"], "lease_no": job["lease_no"]}, time.monotonic()
        try:
            image = self.server.call("GET", job["image"]["url"], wanted=lambda: self.holds(job))
            if image is None or not self.holds(job):
                return None
            try:
                result = self.predict(image, job)
            except ValueError as error:
                return dict(item, outcome="rejected", error=explain(error))
            check(result, self.session["max_result_bytes"])
            return dict(item, outcome="succeeded", result=result, duration_s=round(time.monotonic() - started, 4))
        except Exception as error:
            return dict(item, outcome="retry", error=explain(error))

    def complete(self, items):
        """Send the outcomes. A success that the server refuses is sent again as a failed try."""
        items = [item for item in items if self.holds(item)]
        body, refused = {"worker": self.session["worker"], "items": items}, []
        try:
            answer = self.server.call("POST", "/jobs/complete", body, wanted=lambda: any(map(self.holds, items)))
            verdicts = json.loads(answer)["items"] if answer else []
        except Refused as error:
            verdicts = [{"status": 422, "problem": str(error)}] * len(items)
        for item, verdict in zip(items, verdicts):
            note = verdict["problem"] or item.get("error", {}).get("message", "")
            log.info("job %s %s %s", item["id"], item["outcome"], note)
            if item["outcome"] == "succeeded" and verdict["status"] not in (200, 409):
                error = {"type": "ResultRefused", "message": str(verdict["problem"])[:1000], "traceback": None}
                refused.append({"id": item["id"], "lease_no": item["lease_no"], "outcome": "retry", "error": error})
        if refused:
            self.complete(refused)
        with self.lock:
            for item in items:
                self.held.pop(item["id"], None)

    def leave(self):
        """Give back what is still held and sign off. Returns the exit code."""
        self.finished.set()
        held = [{"id": id, "lease_no": no} for id, no in self.holding().items()]
        try:
            if held:
                self.server.once("POST", "/jobs/release", {"worker": self.session["worker"], "items": held}, timeout=5)
            if self.session:
                self.server.once("DELETE", "/workers/" + self.session["worker"], timeout=5)
        except (Gone, Refused, Busy) as error:
            log.warning("%s", error)
        self.ready.unlink(missing_ok=True)
        return 130 if held else 0


def check(result, max_bytes):
    """A result must be JSON, without NaN or infinity, and within the size limit."""
    try:
        size = len(json.dumps(result, allow_nan=False).encode())
    except ValueError as error:  # the model's fault, not the image's
        raise TypeError("the result is not valid JSON: %s" % error) from error
    if size > max_bytes:
        raise OverflowError("the result has %d bytes, the limit is %d" % (size, max_bytes))


def explain(error):
    """An exception as the API takes it, with the last 4 kB of its traceback."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return {"type": type(error).__name__, "message": str(error)[:1000],
            "traceback": trace.encode("utf-8", "replace")[-4096:].decode("utf-8", "ignore")}


def on_this_machine(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def api_key():
    """The key from the environment, or from a file, which may appear up to 60 s later."""
    key, path = os.environ.get("DARKROOM_API_KEY", "").strip(), os.environ.get("DARKROOM_API_KEY_FILE")
    until = time.monotonic() + 60
    while path and not key and time.monotonic() < until:
        try:
            key = pathlib.Path(path).read_text().strip()
        except OSError:
            pass
        time.sleep(0 if key else 0.5)
    return key or sys.exit("no API key: set DARKROOM_API_KEY, or DARKROOM_API_KEY_FILE to a file that holds one")


def run(model, version, description, labels, predict, init=None):
    """Serve `model` until a signal or the server says stop. Does not return."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if init:
        init()
    if sys.argv[1:]:
        for name in sys.argv[1:]:
            print(name, json.dumps(predict(pathlib.Path(name).read_bytes(), {"params": {}}), allow_nan=False))
        sys.exit(0)
    about = {"service": "predict", "model": model, "version": version, "instance": str(uuid.uuid4()),
             "description": description, "tags": [], "labels": labels, "params_schema": None,
             "batch_max": int(os.environ.get("BATCH", "4")), "host": socket.gethostname(), "sdk": "examples/worker.py"}
    worker = Worker(Server(os.environ.get("DARKROOM_URL", "http://127.0.0.1:8080"), api_key()), about, predict)
    signal.signal(signal.SIGTERM, worker.on_signal)
    signal.signal(signal.SIGINT, worker.on_signal)
    failed = 0
    try:
        worker.register()
        threading.Thread(target=worker.beat_forever, daemon=True).start()
        worker.loop()
    except Halt:
        pass
    except Refused as error:
        log.error("%s", error)
        failed = 1
    sys.exit(worker.leave() or failed)
