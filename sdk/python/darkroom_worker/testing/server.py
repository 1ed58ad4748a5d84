"""An in-memory Darkroom for tests: the whole worker protocol over HTTP, with real leases and faults on demand."""
from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
import uuid
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Type, Union

from .book import Book
from .faults import Trouble, Troubles
from .jobs import Job, Key, Session, new_key
from .photos import Photo, look
from .routes import Handler, Request

DEFAULT_WAIT_S = 30.0  # how long `wait` waits unless it is told


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class Server:
    """A server for one test, on a free port of 127.0.0.1.

        with Server() as server:
            job = server.add(photograph, model="face_detect", params={"min_score": 0.5})
            …start a worker with server.environment()…
            assert server.wait(job, timeout_s=10).result["fields"]["faces"] == 1

    Times are short by default, so that a test sees a lease end: beats are due each `heartbeat_s`, a worker that is silent for
    `lease_s` is given up, a failed try is due again after `backoff_s`. `extra` is put into every answer, as later servers may.
    """

    def __init__(self, *, heartbeat_s: float = 0.5, lease_s: float = 5.0, backoff_s: float = 0.1,
                 max_result_bytes: int = 1 << 20, port: int = 0, extra: Optional[Dict[str, Any]] = None) -> None:
        self.book = Book(heartbeat_s, lease_s, max_result_bytes, backoff_s)
        self.troubles, self.extra = Troubles(), extra or {}
        self.requests: List[Request] = []
        self._connections: Set[socket.socket] = set()
        self._lock, self._number = threading.Lock(), itertools.count(1)
        self._port = port
        self._listener: Optional[ThreadingHTTPServer] = None
        self.key = self.make_key()

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.stop()

    # --- its life

    def start(self) -> None:
        """Listens, at the same address as before if it was stopped."""
        handler = type("Connection", (Handler,), {"owner": self})
        self.book.stopping = False
        self._listener = listener = _Listener(("127.0.0.1", self._port), handler)
        self._port = listener.server_address[1]
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Closes every connection at once, as a killed server does. What it knows stays."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self.book.stopping = True
        with self.book.moved:
            self.book.moved.notify_all()
        listener.shutdown()
        listener.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is gone already

    def restart(self, away_s: float = 0.0) -> None:
        """Is away for so long; leases do not end meanwhile, as the real server sees to."""
        self.stop()
        time.sleep(away_s)
        with self.book.moved:
            for session in self.book.sessions.values():
                session.alive_until += away_s
        self.start()

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d" % self._port

    def environment(self) -> Dict[str, str]:
        """The variables that tell a worker where the server is, and its key."""
        return {"DARKROOM_URL": self.url, "DARKROOM_API_KEY": self.key}

    # --- keys

    def make_key(self, models: Sequence[str] = ("*",), service: str = "predict") -> str:
        """A key that reaches models by these globs."""
        key: Key = new_key(service, tuple(models))
        self.book.keys[key.text] = key
        return key.text

    def revoke(self, key: Optional[str] = None) -> None:
        """Disables a key, its own if none is named: 401 from now on."""
        self.book.keys[key or self.key].revoked = True

    # --- jobs

    def add(self, image: Union[bytes, Photo], *, model: str, params: Optional[Dict[str, Any]] = None, priority: int = 0,
            max_attempts: int = 5, deadline_s: float = 600.0, solo: bool = False, delay_s: float = 0.0,
            url: Optional[str] = None) -> Job:
        """A job to be claimed. `solo`: as one whose worker died; `url`: where the claim says that the bytes are, if not here."""
        photo = image if isinstance(image, Photo) else look(image)
        number = next(self._number)
        id = "019aac9e-%04x-7%03x-8000-%012x" % (number >> 12 & 0xFFFF, number & 0xFFF, uuid.uuid4().int & 0xFFFFFFFFFFFF)
        job = Job(id, model, photo, params or {}, priority, max_attempts, deadline_s, time.monotonic() + delay_s, url, solo=solo)
        with self.book.moved:
            self.book.jobs[id] = job
            self.book.moved.notify_all()
        return job

    def wait(self, job: Job, timeout_s: float = DEFAULT_WAIT_S) -> Job:
        """The job once it has ended. Raises TimeoutError, which says how far it came."""
        self.until(lambda: job.ended, lambda: "job %s is %s after %d tries" % (job.id, job.state, len(job.attempts)), timeout_s)
        return job

    def until(self, true: Callable[[], bool], say: Callable[[], str], timeout_s: float = DEFAULT_WAIT_S) -> None:
        """Waits until `true()`; raises TimeoutError with what `say()` says."""
        end = time.monotonic() + timeout_s
        with self.book.moved:
            while not true():
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError("after %g s: %s" % (timeout_s, say()))
                self.book.moved.wait(min(left, 0.05))
                self.book.tick()

    def cancel(self, job: Job) -> None:
        """Ends a job; its worker's next beat is told to stop it."""
        self.book.cancel(job)

    def workers(self, model: Optional[str] = None) -> List[Session]:
        """The sessions that live."""
        with self.book.moved:
            self.book.tick()
            return [s for s in self.book.sessions.values() if not s.ended and model in (None, s.model)]

    # --- what goes wrong

    def fail(self, on: str = "any", *, status: int = 503, retry_after_s: Optional[float] = None, times: int = 1) -> None:
        """The next requests of this operation are answered with this status. Operations: register, beat, claim, complete,
        release, leave, image."""
        self.troubles.add(Trouble(on, "status", times, status=status, retry_after_s=retry_after_s))

    def reset(self, on: str = "any", *, late: bool = False, times: int = 1) -> None:
        """The next connections are cut; `late`: the request is carried out, and its answer lost."""
        self.troubles.add(Trouble(on, "reset", times, late=late))

    def garble(self, on: str = "any", *, times: int = 1) -> None:
        """The next answers are 200 and a page of some proxy."""
        self.troubles.add(Trouble(on, "garbage", times))

    def delay(self, on: str = "any", *, seconds: float, times: int = 1, until: Callable[[], bool] = lambda: False) -> None:
        """The next answers take that long, or until something has come true."""
        self.troubles.add(Trouble(on, "delay", times, seconds=seconds, until=until))

    def redirect(self, on: str = "any", *, to: str, times: int = 1) -> None:
        """The next answers are 307 and point to the same path at another address, as `http://host:port`."""
        self.troubles.add(Trouble(on, "redirect", times, url=to))

    def refuse_result(self, times: int = 1) -> None:
        """The next successes are refused as `invalid_result`, whatever they hold."""
        self.book.refuse_results += times

    def forget(self) -> None:
        """Gives up every session: 410 `unknown_worker`, and their jobs are run alone from now on."""
        with self.book.moved:
            for session in self.book.sessions.values():
                if not session.ended:
                    self.book.give_up(session, "lost")

    def drain(self) -> None:
        """Retires every model that has a worker: beats and claims say `drain`, and nobody may register it again."""
        with self.book.moved:
            self.book.retired.update(s.model for s in self.book.sessions.values())
            self.book.moved.notify_all()

    # --- for the connections

    def note(self, request: Request) -> None:
        with self.book.moved:
            self.requests.append(request)

    def connected(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)

    def pause(self, seconds: float, until: Callable[[], bool]) -> None:
        """Waits, but not beyond the server's end."""
        with contextlib.suppress(TimeoutError):
            self.until(lambda: self.book.stopping or until(), str, seconds)

    def photo(self, key: Key, md5: str) -> Optional[Photo]:
        """An image, for a key with a session of the model of a live job on it."""
        with self.book.moved:
            models = {s.model for s in self.workers() if s.key == key.text}
            found = [job for job in self.book.jobs.values() if job.photo.md5 == md5 and not job.ended and job.model in models]
            return found[0].photo if found else None
