"""Where a worker is tried: an in-memory server, the worker's process, and another host that must never see the key."""
from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any, Callable, Dict, List, Optional, Sequence

from .jobs import Job, Session
from .photos import png
from .routes import Request
from .server import Server

HEARTBEAT_S = 0.5
LEASE_S = 10.0  # so that a slow machine ends no session
KILL_WAIT_S = 6.0  # how long a killed process may take to end


class Broken(Exception):
    """A rule is not kept; says what was seen."""


class Elsewhere:
    """Another host: it gives its bytes to anybody, and keeps what it was sent."""

    def __init__(self, content: bytes) -> None:
        self.seen: List[str] = []
        seen = self.seen

        class Connection(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen.append("%s %s\n%s\n%r" % (self.command, self.path, self.headers, body))
                self.send_response(200)
                self.send_header("Content-Type", "image/png")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self._listener.daemon_threads = True
        # by name, so that no client takes it for the same host as 127.0.0.1
        self.url = "http://localhost:%d" % self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


class Stage:
    """One worker's command line under trial. `wait_s` is how long each step may take, `start_s` how long until it registers."""

    def __init__(self, command: Sequence[str], log: IO[bytes], photo: Optional[bytes], wait_s: float, start_s: float) -> None:
        self.command, self.log, self.wait_s, self.start_s = list(command), log, wait_s, start_s
        self.server = Server(heartbeat_s=HEARTBEAT_S, lease_s=LEASE_S, backoff_s=0.1)
        self.instances: List[str] = []
        self._photo, self._salts = photo, itertools.count(1)
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.server.start()

    # --- the process

    def up(self) -> Session:
        """The worker's live session; starts the worker if it does not run."""
        if self._process is None or self._process.poll() is not None:
            self.down()
            self.server.troubles.clear()
            # what is on this machine needs no proxy
            environment = dict(os.environ, NO_PROXY="127.0.0.1,localhost", no_proxy="127.0.0.1,localhost", **self.server.environment())
            try:
                self._process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log,
                                                 stderr=subprocess.STDOUT, start_new_session=True)
            except OSError as error:
                raise Broken("it cannot be started: %s" % error) from None
            session = self.session(self.start_s)
            self.instances.append(session.about["instance"])
        return self.session()

    def session(self, wait_s: Optional[float] = None) -> Session:
        """The live session, waited for."""
        self.until(lambda: bool(self.server.workers()) or not self.runs(), self._why_not_registered, wait_s)
        if not self.server.workers():
            raise Broken(self._why_not_registered())
        return self.server.workers()[-1]

    def _why_not_registered(self) -> str:
        asked = [request for request in self.server.requests if request.operation == "register"]
        if asked and asked[-1].status not in (200, 201, None):
            return "its registration was answered %s: %s" % (asked[-1].status, (asked[-1].answer or {}).get("detail"))
        return "it did not register" + ("" if self.runs() else "; it ended with %d" % self.code())

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def code(self) -> int:
        return -1 if self._process is None else int(self._process.poll() or 0)

    def signal(self) -> None:
        """SIGTERM to the worker's first process, as every supervisor sends it."""
        if self._process is not None and self.runs():
            self._process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """The exit code, waited for."""
        self.until(lambda: not self.runs(), lambda: "it still runs")
        return self.code()

    def down(self) -> None:
        """Ends the worker with whatever it started, and forgets its sessions and jobs."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # all of it has ended
            self._process.wait(KILL_WAIT_S)
            self._process = None
        self.server.forget()
        self.clear()

    def close(self) -> None:
        self.down()
        self.server.stop()

    # --- what is asked of it

    def job(self, content: Optional[bytes] = None, **more: Any) -> Job:
        """A job for the worker; its image is another one each time, unless a photograph was given."""
        image = content if content is not None else self._photo or png(next(self._salts))
        return self.server.add(image, model=self.server.workers()[-1].model, **more)

    def clear(self) -> None:
        """Cancels what is left of the rule before."""
        self.server.troubles.clear()
        self.server.extra = {}
        for job in list(self.server.book.jobs.values()):
            self.server.cancel(job)

    def succeeds(self, *jobs: Job) -> None:
        """Waits until these jobs have succeeded."""
        for job in jobs:
            self.until(lambda: job.ended or not self.runs(), lambda: "a job is %s after %d tries" % (job.state, len(job.attempts)))
            if not job.ended:
                raise Broken("it ended with %d" % self.code())
            if job.state != "succeeded":
                raise Broken("a job is %s (%s): %s" % (job.state, job.reason, job.error))

    def meets_all(self) -> None:
        """Gives it job after job until it has met every fault that waits, and done them all; then one more."""
        left, end = self.server.troubles.left(), time.monotonic() + self.wait_s
        while left and time.monotonic() < end:
            self.succeeds(self.job())
            with contextlib.suppress(TimeoutError):  # beats meet faults without a job
                self.server.until(lambda: not self.server.troubles.left(), str, 2 * HEARTBEAT_S)
            if self.server.troubles.left() < left:
                left, end = self.server.troubles.left(), time.monotonic() + self.wait_s
        if left:
            raise Broken("it did not come across all faults in %g s" % self.wait_s)
        self.succeeds(self.job())

    def until(self, true: Callable[[], bool], say: Callable[[], str], wait_s: Optional[float] = None) -> None:
        """Waits for something to come true."""
        wait_s = self.wait_s if wait_s is None else wait_s
        try:
            self.server.until(true, say, wait_s)
        except TimeoutError:
            raise Broken("%s after %g s" % (say(), wait_s)) from None

    def held(self, job: Job) -> None:
        """Waits until the worker has claimed a job."""
        self.until(lambda: job.state == "running" or not self.runs(), lambda: "a job is not claimed")

    def at_work(self, job: Job) -> None:
        """Waits until the worker knows that it holds a job: it asks for its image."""
        path = "/images/%s/content" % job.photo.md5
        self.until(lambda: any(request.path == path for request in self.asked("image", job.claimed_at)) or not self.runs(),
                   lambda: "the image of a job is not asked for")

    def asked(self, operation: str, since: float = 0.0) -> List[Request]:
        """The requests of an operation that came after a moment."""
        return [request for request in list(self.server.requests) if request.operation == operation and request.at >= since]

    def said(self, job: Job) -> List[Dict[str, Any]]:
        """The items of completions that name a job."""
        bodies = [request.body for request in self.asked("complete") if isinstance(request.body, dict)]
        return [item for body in bodies for item in body.get("items") or [] if isinstance(item, dict) and item.get("id") == job.id]
