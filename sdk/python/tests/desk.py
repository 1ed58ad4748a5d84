"""A server that hands out training runs, for the tests of `train`: what it was told lies in its lists."""
import hashlib
import http.server
import json
import threading
import urllib.parse
import uuid


class Desk:
    """`runs` are handed out in turn; `faults` maps a route's last word to the statuses that it answers first."""

    def __init__(self, runs, faults=()):
        self.runs, self.faults = list(runs), {route: list(statuses) for route, statuses in dict(faults).items()}
        self.registered, self.metrics, self.completed, self.released, self.left = [], [], [], [], []
        self.files, self.stop, self.held, self.draining, self.changed = {}, set(), {}, False, threading.Condition()
        desk = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                url = urllib.parse.urlsplit(self.path)
                status, told = desk.answer(self.command, url.path, dict(urllib.parse.parse_qsl(url.query)), body)
                data = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.http.server_port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def wait(self, holds, timeout_s=60):
        """Waits until `holds(self)` does."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self), timeout_s), vars(self)

    def answer(self, method, path, query, body):
        with self.changed:
            route = path.rsplit("/", 1)[-1]
            route = "leave" if method == "DELETE" else route
            if self.faults.get(route):
                return self.faults[route].pop(0), {"code": "a_fault", "detail": "a fault of %s" % route}
            sent = json.loads(body) if body and method == "POST" else {}
            status, told = getattr(self, "on_" + route)(method, path.split("/")[-2], query, sent, body)
            self.changed.notify_all()
            return status, told

    def on_register(self, method, _, query, sent, body):
        self.registered.append(sent)
        return 201, {"worker": str(uuid.uuid4()), "heartbeat_s": 0.1, "lease_s": 30, "max_result_bytes": 1000}

    def on_heartbeat(self, method, _, query, sent, body):
        self.draining = sent["draining"]
        stop = [job["id"] for job in sent["jobs"] if job["id"] in self.stop]
        return 200, {"next_s": 0.1, "lease_s": 30, "drain": False, "stop": stop}

    def on_claim(self, method, _, query, sent, body):
        if not self.runs:
            if sent["wait_s"]:
                self.changed.wait_for(lambda: self.runs, 0.5)
            return 200, {"drain": False, "jobs": []}
        run = self.runs.pop(0)
        run = {"id": str(uuid.uuid4()), "lease_no": 1, "checkpoint": None, "params": {}, **run}
        self.held[run["id"]] = run
        base = "/training/results/%s/" % run["id"]
        return 200, {"drain": False, "jobs": [{"id": run["id"], "lease_no": run["lease_no"], "params": run["params"], "deadline_s": 60,
                     "model": None, "image": None, "dataset": "digits", "run": {
                         "metrics_url": base + "metrics", "checkpoint_url": base + "checkpoint", "model_url": base + "model",
                         "checkpoint": run["checkpoint"] and {"sha256": hashlib.sha256(run["checkpoint"]).hexdigest()}}}]}

    def on_metrics(self, method, run, query, sent, body):
        self.metrics += sent["points"]
        return 200, {}

    def on_checkpoint(self, method, run, query, sent, body):
        if method == "GET":
            return 200, self.held[run]["checkpoint"]
        assert query["sha256"] == hashlib.sha256(body).hexdigest()
        self.files.setdefault("checkpoint", []).append((query.get("epoch"), body))
        return 200, {}

    def on_model(self, method, run, query, sent, body):
        assert query["sha256"] == hashlib.sha256(body).hexdigest()
        self.files.setdefault("model", []).append((query["name"], body))
        return 200, {}

    def on_complete(self, method, _, query, sent, body):
        self.completed += sent["items"]
        return 200, {"items": [{"status": 200, "state": "ended", "problem": None} for _ in sent["items"]], "claimed": None}

    def on_release(self, method, _, query, sent, body):
        self.released += sent["items"]
        return 200, {"items": []}

    def on_leave(self, method, _, query, sent, body):
        self.left.append(True)
        return 204, b""
