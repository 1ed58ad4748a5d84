"""One registration at the server: claims, fetches, has predicted, completes and beats, until it is told to end."""
import contextlib
import json
import logging
import socket
import threading
import time
import uuid
from typing import Any, Callable, ContextManager, Dict, List, NamedTuple, Optional, Set

from . import __version__
from .batch import Batch, available_memory
from .files import Folder
from .hand import FETCHING, READY, RUNNING, Hand, Job
from .http import Busy, DiskFull, Failure, Gone, Refused, Revoked, Server
from .model import Outcome
from .outcomes import Outcomes, Tally
from .predictor import Predictor
from .process import Listener, NotServing, Task

log = logging.getLogger("darkroom")
WAIT_S = 25.0  # how long one claim waits on the server for work
FETCHERS = 4  # downloads at once
BEAT_TIMEOUT_S = 10.0
BEAT_TRIES = 5  # a beat's back-off grows no longer than 8 s, soon enough to keep the leases
LEAVE_S = 5.0
DISK_PAUSE_S = 10.0  # before the next claim when an image could not be written
REVIVE_S = (1.0, 60.0)  # the first and the longest pause between tries to start the model again
TROUBLE_CHARS = 2000


class Settings(NamedTuple):
    """How to serve."""

    batch: Optional[int] = 1  # None is auto; 0 is the model's own batch_size
    processes: int = 1
    timeout_s: Optional[float] = None
    burst: bool = False
    max_jobs: Optional[int] = None
    ready_file: Optional[str] = None


class Session(Listener):
    """Its threads start with `start`; the first reason to end is told to `over`, once, and then it does nothing more."""

    def __init__(self, server: Server, pool: Predictor, settings: Settings, folder: Folder, tally: Tally,
                 over: Callable[["Session", str, str], None]):
        self.server, self.pool, self.settings, self.folder = server, pool, settings, folder
        self.batch = Batch(settings.batch, bool(pool.about["batched"]))
        self.hand = Hand(self._want, settings.max_jobs)
        self.trouble: Optional[str] = None  # why old code is served, or none
        self._told_trouble: Optional[str] = None  # by the last beat
        self.worker: Optional[str] = None
        self.outcomes = Outcomes(server, self.hand, tally, self._claimed, self._forget)
        self._about: Dict[str, Any] = {}
        self._over, self._reason = over, threading.Lock()
        self._claimer = threading.Thread(target=self._guard, args=(self._claim,), daemon=True)
        self._seen: Set[str] = set()  # errors whose traceback was printed

    def _want(self) -> int:
        return self.settings.processes * self.batch.size + self.batch.ahead()

    # --- its life

    def start(self) -> None:
        """Registers, as long as that takes, and then works; does not wait for either."""
        threading.Thread(target=self._guard, args=(self._open,), daemon=True).start()

    def drain(self) -> None:
        """Finishes what is in hand and claims nothing more."""
        self.hand.set(taking=False)
        self.nudge()
        if self.worker is None:
            self.end("drained")

    def nudge(self) -> None:
        """Draining: breaks the claim that waits, also one sent in the very moment that `drain` was called."""
        if not self.hand.taking:
            self.server.hang_up(self._claimer)

    def hurry(self) -> None:
        """Finishes only what the model has begun; the rest goes back. Then as `drain`."""
        self.drain()
        waiting = self.hand.held(FETCHING, READY)
        threading.Thread(target=self._guard, args=(lambda: self._give_back(waiting),), daemon=True).start()

    def stall(self, error: NotServing) -> None:
        """Nothing can be predicted, as was found out while nothing was; returns when it can be again, or at the end."""
        if self._going() and not self.hand.stalled:
            self._guard(lambda: self._stall(error))

    def tell_trouble(self, trouble: Optional[str]) -> None:
        """Says at once why the model is not served as it should be, or that it is again."""
        with self.hand.changed:
            self.trouble = trouble
            self.hand.changed.notify_all()

    def end(self, reason: str, message: str = "") -> None:
        """Stops at once. Of several reasons the first counts."""
        if self._reason.acquire(blocking=False):
            self.hand.set(over=True)
            self.server.hang_up(self._claimer)
            for job in self.hand.held(RUNNING):
                self.pool.cancel(job.key)
            self._over(self, reason, message)

    def leave(self, lost: bool = False) -> int:
        """Gives back what is still in hand and signs off, unless the server has done so; returns how many jobs that were."""
        held = self.hand.held()
        if not lost:
            self._sign_off(held)
        self._forget(held, returned=True)
        return len(held)

    def _sign_off(self, held: List[Job]) -> None:
        with contextlib.suppress(Failure):
            if held:
                self.server.once("POST", "/jobs/release", self._body(items=[job.lease() for job in held]), LEAVE_S)
        with contextlib.suppress(Failure):
            if self.worker is not None:
                self.server.once("DELETE", "/workers/" + self.worker, timeout_s=LEAVE_S)

    def _guard(self, work: Callable[[], None]) -> None:
        """A thread: what it raises ends the session, for the reason that it stands for."""
        try:
            work()
        except Gone as error:
            self.end("lost", str(error))
        except Revoked as error:
            self.end("revoked", str(error))
        except Failure as error:
            self.end("refused", str(error))
        except Exception as error:
            log.exception("the worker itself failed")
            self.end("broken", "%s: %s" % (type(error).__name__, error))

    def _open(self) -> None:
        about = self.pool.about
        self._about = {**{key: about[key] for key in ("model", "version", "description", "tags", "labels", "params_schema")},
                       "service": "predict", "instance": str(uuid.uuid4()), "batch_max": min(1000, self.batch.most),
                       "host": socket.gethostname()[:200], "sdk": "darkroom-worker " + __version__}
        told = self.server.call("POST", "/workers/register", json.dumps(self._about).encode(), wanted=self._going)
        if told is None:
            return
        self.worker, self.pool.max_bytes = told["worker"], told.get("max_result_bytes")
        if not self.hand.taking:  # a signal came meanwhile
            return self.end("drained")
        self._touch_ready()
        log.info("%s %s is registered as %s", about["model"], about["version"], self.worker)
        threads = [threading.Thread(target=self._guard, args=(work,), daemon=True) for work in
                   [self._tell] + [self._fetch] * FETCHERS + [self._predict] * self.settings.processes]
        for thread in threads + [self._claimer]:
            thread.start()
        self._beat(float(told["heartbeat_s"]))

    def _going(self) -> bool:
        return not self.hand.over

    def _body(self, **members: Any) -> bytes:
        return json.dumps({"worker": self.worker, **members}).encode()

    def _touch_ready(self) -> None:
        if self.settings.ready_file:
            with contextlib.suppress(OSError), open(self.settings.ready_file, "w") as file:
                file.write(str(self.worker))

    # --- beats

    def _beat(self, pause_s: float) -> None:
        tries = 0
        while True:
            with self.hand.changed:
                self.hand.changed.wait_for(lambda: self.hand.over or self.trouble != self._told_trouble, pause_s)
                if self.hand.over:
                    return
            try:
                pause_s, tries = self._beat_once(), 0
            except Busy as busy:
                pause_s, tries = busy.pause_s(min(tries, BEAT_TRIES)), tries + 1
                log.warning("%s", busy)
            except Refused as error:  # the session goes on: claims and completions say if it cannot
                log.warning("%s", error)

    def _beat_once(self) -> float:
        held = self.hand.held()
        body: Dict[str, Any] = {"draining": not self.hand.taking, "jobs": [
            {**job.lease(), "progress": job.progress, "note": job.note} for job in held]}
        self._told_trouble = self.trouble
        if self._told_trouble is not None:
            body["trouble"] = _shortened(self._told_trouble)
        told = self.server.once("POST", "/workers/%s/heartbeat" % self.worker, json.dumps(body).encode(), BEAT_TIMEOUT_S)
        stop = set(told["stop"])
        lost = [job for job in held if job.id in stop]  # a lease won since this beat was sent is another job here
        self._forget(lost)
        for job in lost:
            log.info("job %s is no longer ours", job.id)
            if job.state == RUNNING:
                self.pool.cancel(job.key)
        if told["drain"] and self.hand.taking:
            log.info("the server asks this worker to end")
            self.drain()
        self._touch_ready()
        return float(told["next_s"])

    # --- claims

    def _claim(self) -> None:
        while True:
            room = self.hand.await_room()
            if not room:
                break
            ask = {"claim_id": str(uuid.uuid4()), "max": min(room, 1000), "wait_s": 0.0 if self.settings.burst else WAIT_S}
            told = self.server.call("POST", "/jobs/claim", self._body(**ask), WAIT_S + 15, self._taking)
            self._claimed(told or {"jobs": [], "drain": False})
            if self.settings.burst and told is not None and not told["jobs"]:
                if not self.hand.held():
                    log.info("the queue is empty")
                    break
                self.hand.await_empty()
        if self._going():
            self.drain()

    def _taking(self) -> bool:
        return self.hand.taking and not self.hand.over and not self.hand.stalled

    def _claimed(self, told: Dict[str, Any]) -> None:
        jobs = self.hand.end_claim(told["jobs"])
        if self.hand.stalled:  # meanwhile
            self._give_back(jobs)
        if told["drain"]:
            self.drain()

    # --- images

    def _fetch(self) -> None:
        while True:
            job = self.hand.next_fetch()
            if job is None:
                return
            path = None
            try:
                path, file = self.folder.create(job.image.get("media_type"))
                with file:
                    done = self.server.fetch(job.image["url"], file, job.image["md5"], lambda: self.hand.holds(job) and self._going())
                if done and self.hand.fetched(job, path):
                    self.batch.fetched(time.monotonic() - job.claimed)
                    self.pool.ask_more()
                    path = None
            except (DiskFull, OSError) as error:
                log.error("the image of job %s cannot be written to %s: %s; its job goes back, the next claim waits %g s",
                          job.id, self.folder.path, error, DISK_PAUSE_S)
                self.hand.set(paused_until=time.monotonic() + DISK_PAUSE_S)
                self._give_back([job])
            except Revoked as error:
                if error.status == 401:
                    raise
                self._fail(job, "ImageRefused", str(error))
            except (Gone, Refused) as error:
                self._fail(job, "ImageRefused", str(error))
            finally:
                self.folder.delete(path)

    def _fail(self, job: Job, kind: str, message: str) -> None:
        log.warning("job %s: %s", job.id, message)
        self.hand.end(job, {"outcome": "retry", "error": {"type": kind, "message": message[:2000], "traceback": None}})

    # --- predictions

    def _predict(self) -> None:
        settings = self.settings
        while True:
            jobs = self.hand.next_batch(self.batch.size, bool(self.pool.about["batched"]), settings.processes)
            if not jobs:
                return
            try:
                self.pool.run([job.task(settings.timeout_s) for job in jobs], self, self._more)
            except NotServing as error:
                if self._going():
                    self._stall(error)

    def _more(self) -> List[Task]:
        """The next batch, which the model is given while it works on another, so that it need not wait: only where that
        wait would count, for what a slow model is not given yet may go to another process, or back."""
        if not self.batch.quick():
            return []
        jobs = self.hand.batch_ahead(self.batch.size, bool(self.pool.about["batched"]))
        return [job.task(self.settings.timeout_s) for job in jobs]

    def batch_ended(self, count: int, seconds: float, problem: Optional[str]) -> None:
        """The model is done with a batch."""
        available = available_memory() if self.batch.auto else None
        memory = self.pool.memory() if self.batch.auto else 0
        self.batch.measured(count, seconds, memory, available, problem)

    def progress(self, key: str, fraction: Optional[float], note: Optional[str]) -> None:
        """The model says how far a job is; the next beat tells it."""
        self.hand.reported(key, fraction, note)

    def together(self) -> ContextManager[object]:
        """So that one request tells of all of them, and claims as many."""
        return self.hand.changed

    def done(self, task: Task, outcome: Outcome) -> None:
        """The model is done with an image."""
        self.folder.delete(task.path)
        job = self.hand.find(task.key)
        if job is None:
            return
        if outcome.kind == "cancelled":  # raised by the model itself: the job is ours, or it would not be in hand
            outcome = outcome._replace(kind="retry", error={"type": "Cancelled", "message": "raised by the model itself"})
        told: Dict[str, Any] = {"outcome": outcome.kind, "duration_s": outcome.duration_s}
        if outcome.kind != "succeeded":
            told["error"] = outcome.error
            self._say(job, outcome)
        if outcome.after is not None:
            told["retry_after_s"] = min(max(0.0, float(outcome.after)), 7 * 86400.0)
        self.hand.end(job, told, outcome.result)

    def _say(self, job: Job, outcome: Outcome) -> None:
        """A failure on the terminal, with its traceback the first time."""
        error = outcome.error or {}
        what = "%s: %s" % (error.get("type"), error.get("message"))
        log.warning("job %s, image %s: %s, %s", job.id, job.image["md5"],
                    "rejected" if outcome.kind == "rejected" else "to be tried again", what)
        if outcome.kind == "retry" and what not in self._seen and error.get("traceback"):
            self._seen.add(what)
            log.warning("%s", error["traceback"])

    def _stall(self, error: NotServing) -> None:
        """There is no model: everything goes back, and nothing is claimed until it can be started again."""
        if error.error["type"] == "CodeChanged":
            return self.end("changed", str(error))
        pause_s = REVIVE_S[0]
        while self._going():
            self.hand.set(stalled=True)
            self.server.hang_up(self._claimer)
            self.tell_trouble(error.whole())
            log.error("the model does not work; next try in %g s: %s", pause_s, self.trouble)
            jobs = self.hand.held(FETCHING, READY, RUNNING)
            self._give_back(jobs)
            for job in jobs:
                self.folder.delete(job.path)
            with self.hand.changed:
                self.hand.changed.wait_for(lambda: self.hand.over, pause_s)
            pause_s = min(pause_s * 2, REVIVE_S[1])
            try:
                self.pool.revive()
                self.tell_trouble(None)
                log.info("the model works again")
                return self.hand.set(stalled=False)
            except NotServing as again:
                error = again
                if error.error["type"] == "CodeChanged":
                    return self.end("changed", str(error))

    # --- what leaves the hand

    def _tell(self) -> None:
        self.outcomes.tell_all(str(self.worker))
        if self._going():
            self.end("drained")

    def _give_back(self, jobs: List[Job]) -> None:
        """Releases jobs, which costs no attempt."""
        if jobs:
            with contextlib.suppress(Busy, Refused):
                self.server.once("POST", "/jobs/release", self._body(items=[job.lease() for job in jobs]))
            self._forget(jobs, returned=True)

    def _forget(self, jobs: List[Job], returned: bool = False) -> None:
        self.hand.drop(jobs, returned)
        for job in jobs:
            if job.state != RUNNING:
                self.folder.delete(job.path)


def _shortened(trouble: str) -> str:
    """Its first line, which says what is wrong, and as much of its end as the server keeps."""
    if len(trouble) <= TROUBLE_CHARS:
        return trouble
    line = trouble.split("\n", 1)[0][:TROUBLE_CHARS // 4] + "\n…\n"
    return line + trouble[len(line) - TROUBLE_CHARS:]
