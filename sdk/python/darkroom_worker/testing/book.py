"""The rules of the queue, in memory: sessions, leases, claims, and what becomes of jobs. One lock guards it all."""
from __future__ import annotations

import threading
import time
import uuid
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .documents import normalise
from .jobs import Attempt, Job, Key, Session
from .problems import Fault
from .read import BATCH_MAX, check_free

DEATHS_MAX = 3  # so many deaths of workers that ran a job alone poison it
LOOK_S = 0.25  # how often a waiting claim looks whether its client is still there
RETRY_AFTER_MAX_S = 7 * 24 * 3600.0
ERROR_CHARS = {"type": 200, "message": 2000, "traceback": 8000}


class Book:
    """All jobs and sessions of one server."""

    def __init__(self, heartbeat_s: float, lease_s: float, max_result_bytes: int, backoff_s: float) -> None:
        self.heartbeat_s, self.lease_s = heartbeat_s, lease_s
        self.max_result_bytes, self.backoff_s = max_result_bytes, backoff_s
        self.moved = threading.Condition(threading.RLock())
        self.jobs: Dict[str, Job] = {}
        self.sessions: Dict[str, Session] = {}
        self.keys: Dict[str, Key] = {}
        self.retired: Set[str] = set()
        self.refuse_results = 0  # so many successes to come are refused as invalid
        self.stopping = False

    # --- sessions

    def register(self, key: Key, about: Dict[str, Any]) -> Tuple[Session, bool]:
        """Opens a session, or prolongs the live one of the same instance; says whether it is new."""
        if key.service != about["service"]:
            raise Fault("wrong_service", "The key is of service type %s." % key.service)
        if about["service"] == "train":
            raise Fault("invalid_field", "There are no training runs here.", "/service")
        if about["dataset"] is not None:
            raise Fault("invalid_field", "A service of type predict names no dataset.", "/dataset")
        if about["model"] is None:
            raise Fault("invalid_field", "A service of type predict names its model.", "/model")
        model = about["model"]
        if not key.reaches(model):
            raise Fault("out_of_scope", "The key reaches %s, not %r." % (", ".join(key.models), model))
        with self.moved:
            self.tick()
            if model in self.retired:
                raise Fault("retired_model", "%r is retired." % model)
            for session in self.sessions.values():
                same = (session.key, session.about["instance"], session.model) == (key.text, about["instance"], model)
                if same and not session.ended:
                    session.about = about
                    self._touch(session)
                    return session, False
            session = Session(str(uuid.uuid4()), key.text, about, time.monotonic() + self.lease_s)
            self.sessions[session.id] = session
            self.moved.notify_all()
            return session, True

    def session(self, key: Key, worker: str) -> Session:
        """The live session of this key, kept alive by being asked for."""
        self.tick()
        session = self.sessions.get(worker)
        if session is None or session.ended or session.key != key.text:
            raise Fault("unknown_worker", "This session is not alive, or was not opened with this key.")
        self._touch(session)
        return session

    def _touch(self, session: Session) -> None:
        session.alive_until = max(session.alive_until, time.monotonic() + self.lease_s)

    def beat(self, key: Key, worker: str, said: Dict[str, Any]) -> Tuple[List[str], bool]:
        """Which of the listed jobs it does not hold (any more), and whether it is to take no more."""
        with self.moved:
            session = self.session(key, worker)
            session.draining, session.trouble = bool(said["draining"]), said["trouble"]
            session.beats += 1
            listed = {(item["id"], item["lease_no"]): item for item in said["jobs"]}
            for job in list(session.held.values()):
                item = listed.get((job.id, job.lease_no))
                if item is not None:
                    job.progress, job.note = item["progress"], item["note"]
                elif time.monotonic() - job.claimed_at > self.lease_s:
                    self._give_back(job, "unlisted")
            held = {(job.id, job.lease_no) for job in session.held.values()}
            stop = [item["id"] for item in said["jobs"] if (item["id"], item["lease_no"]) not in held]
            return stop, session.draining or session.model in self.retired

    def leave(self, key: Key, worker: str) -> None:
        with self.moved:
            session = self.session(key, worker)
            session.ended = "left"
            for job in list(session.held.values()):
                self._give_back(job, "released")

    # --- claims

    def claim(self, key: Key, ask: Dict[str, Any], there: Callable[[], bool]) -> Tuple[List[Dict[str, Any]], bool]:
        """The claimed jobs as they are told, and `drain`. Waits for work; `there` says whether the client still listens."""
        until = time.monotonic() + (ask["wait_s"] or 0.0)
        with self.moved:
            session = self.session(key, ask["worker"])
            again = [job for job in session.held.values() if job.claim_id == ask["claim_id"]]
            if again:
                for job in sorted(again, key=lambda job: job.rank):
                    job.lease_no += 1
                    job.claimed_at = time.monotonic()
                return [self._told(job) for job in again], False
            while True:
                session = self.session(key, ask["worker"])
                if self.keys[key.text].revoked:
                    raise Fault("disabled_credential", "The API key is disabled.")
                drain = session.draining or session.model in self.retired
                found = [] if drain or not there() else self._take(session, ask, until)
                left = until - time.monotonic()
                if found or left <= 0 or self.stopping or not there():
                    return [self._told(job) for job in found], drain
                self.moved.wait(min(left, LOOK_S))

    def _take(self, session: Session, ask: Dict[str, Any], until: float) -> List[Job]:
        now = time.monotonic()
        due = [job for job in self.jobs.values() if job.state == "queued" and job.model == session.model and job.run_at <= now]
        due.sort(key=lambda job: job.rank)
        suspects = [job for job in due if job.solo]
        room = min(ask["max"] or 1, BATCH_MAX - len(session.held))
        if any(job.solo for job in session.held.values()):
            return []
        if suspects and not session.held:
            session.reserved = False
            return [self._run(job, session, ask["claim_id"]) for job in suspects[:1]]
        if suspects:
            others = [s for s in self.sessions.values() if s.reserved and not s.ended and s.model == session.model]
            session.reserved = session.reserved or not others
            if session.reserved:
                return []
        due = [job for job in due if not job.solo]
        enough = len(due) >= min(ask["min"] or 1, room)
        if due and not enough and now < until:
            first = ask.setdefault("first_at", now)
            if now - first < (ask["linger_s"] or 0.0):
                return []
        return [self._run(job, session, ask["claim_id"]) for job in due[:room]]

    def _run(self, job: Job, session: Session, claim_id: str) -> Job:
        now = time.monotonic()
        job.state, job.worker, job.claim_id, job.progress, job.note = "running", session.id, claim_id, None, None
        job.attempt, job.lease_no = job.attempt + 1, job.lease_no + 1
        job.claimed_at, job.deadline_at = now, now + job.deadline_s
        session.held[job.id] = job
        self.moved.notify_all()
        return job

    def _told(self, job: Job) -> Dict[str, Any]:
        photo = job.photo
        image = {"md5": photo.md5, "sha256": photo.sha256, "media_type": photo.media_type, "bytes": len(photo.content),
                 "width": photo.width, "height": photo.height, "orientation": photo.orientation,
                 "url": job.url or "/images/%s/content" % photo.md5}
        return {"id": job.id, "lease_no": job.lease_no, "attempt": job.attempt, "max_attempts": job.max_attempts,
                "solo": job.solo, "lease_s": self.lease_s, "deadline_s": max(0.0, job.deadline_at - time.monotonic()),
                "model": job.model, "params": job.params, "traceparent": None, "image": image,
                "dataset": None, "run": None}

    # --- what becomes of them

    def complete(self, key: Key, worker: str, items: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        """A verdict for each item, in order."""
        with self.moved:
            self._sign_of_life(key, worker)
            return [self._answer(item, partial(self._finish, key, worker, item), "/items/%d" % place)
                    for place, item in enumerate(items)]

    def release(self, key: Key, worker: str, items: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        with self.moved:
            self._sign_of_life(key, worker)
            return [self._answer(item, partial(self._release, key, worker, item), "/items/%d" % place)
                    for place, item in enumerate(items)]

    def _sign_of_life(self, key: Key, worker: str) -> None:
        try:
            self.session(key, worker)
        except Fault:
            self.tick()  # that of a session that is over is none

    def _answer(self, item: Dict[str, Any], act: Callable[[], Tuple[str, bool]], at: str) -> Dict[str, Any]:
        try:
            state, repeat = act()
        except Fault as fault:
            problem = fault.under(at).document()
            return {"id": item["id"], "status": fault.status, "state": None, "repeat": False, "problem": problem}
        return {"id": item["id"], "status": 200, "state": state, "repeat": repeat, "problem": None}

    def _held(self, key: Key, worker: str, item: Dict[str, Any]) -> Optional[Job]:
        session, job = self.sessions.get(worker), self.jobs.get(item["id"])
        fits = session and job and not session.ended and session.key == key.text and job.state == "running"
        return job if job and fits and (job.worker, job.lease_no) == (worker, item["lease_no"]) else None

    def _said_before(self, key: Key, worker: str, item: Dict[str, Any], said: str) -> str:
        """The state that this very lease was once accepted into; anything else is stale."""
        session, job = self.sessions.get(worker), self.jobs.get(item["id"])
        if session and job and session.key == key.text:
            for attempt in job.attempts:
                last = job.ended and attempt is job.attempts[-1] and attempt.outcome in ("succeeded", "rejected", "retry")
                same = attempt.outcome == said and said in ("retry", "released")
                if (attempt.lease_no, attempt.worker) == (item["lease_no"], worker) and (last or same):
                    return job.state if last else "queued"
        raise Fault("stale_lease", "Job %s is not running under lease %d of this worker." % (item["id"], item["lease_no"]))

    def _finish(self, key: Key, worker: str, item: Dict[str, Any]) -> Tuple[str, bool]:
        error, job = _checked(item), self._held(key, worker, item)
        said, document, refused = item["outcome"], None, None
        if said == "succeeded":
            try:
                document = self._document(item, held=job is not None)
            except Fault as fault:
                # it ends its job as rejected, so that a broken model does not try it for ever
                said, refused = "rejected", fault.under("/result")
                error = {"type": "InvalidResult", "message": fault.detail, "traceback": None}
        if job is None:
            state, repeat = self._said_before(key, worker, item, said), True
        else:
            self._carry_out(job, said, document, error, item)
            state, repeat = job.state, False
        if refused is not None and state == "failed":
            raise refused
        return state, repeat

    def _document(self, item: Dict[str, Any], held: bool) -> Dict[str, Any]:
        if held and self.refuse_results > 0:
            self.refuse_results -= 1
            raise Fault("invalid_result", "The test server was told to refuse this result.", "")
        job = self.jobs.get(item["id"])
        return normalise(item["result"], self.max_result_bytes, job.photo.upright if job else (1, 1))

    def _carry_out(self, job: Job, said: str, document: Optional[Dict[str, Any]], error: Optional[Dict[str, Any]], item: Dict[str, Any]) -> None:
        if said == "succeeded":
            job.result, job.duration_s = document, item["duration_s"]
            job.version = self.sessions[job.worker or ""].about["version"]
            self._end(job, "succeeded", "succeeded", None, None)
        elif said == "rejected":
            self._end(job, "rejected", "failed", "rejected", error)
        else:
            self._try_again(job, "retry", error, item["retry_after_s"])

    def _release(self, key: Key, worker: str, item: Dict[str, Any]) -> Tuple[str, bool]:
        job = self._held(key, worker, item)
        if job is None:
            return self._said_before(key, worker, item, "released"), True
        self._give_back(job, "released")
        return "queued", False

    def cancel(self, job: Job) -> None:
        """Terminal at once; a late result is stale."""
        with self.moved:
            if not job.ended:
                self._end(job, "cancelled", "cancelled", None, None)

    # --- transitions; the caller holds the lock

    def _let_go(self, job: Job, outcome: str, error: Optional[Dict[str, Any]]) -> None:
        if job.worker is not None:
            job.attempts.append(Attempt(job.lease_no, job.worker, outcome, error))
            self.sessions[job.worker].held.pop(job.id, None)
        job.worker = job.claim_id = None
        self.moved.notify_all()

    def _end(self, job: Job, outcome: str, state: str, reason: Optional[str], error: Optional[Dict[str, Any]]) -> None:
        self._let_go(job, outcome, error)
        job.state, job.reason, job.error = state, reason, error

    def _give_back(self, job: Job, outcome: str) -> None:
        """Costs no attempt and keeps the place in line."""
        self._let_go(job, outcome, None)
        job.state, job.attempt = "queued", job.attempt - 1

    def _try_again(self, job: Job, outcome: str, error: Optional[Dict[str, Any]], after_s: Optional[float]) -> None:
        if job.attempt >= job.max_attempts:
            return self._end(job, outcome, "failed", "exhausted", error)
        self._let_go(job, outcome, error)
        job.state, job.error, job.solo = "queued", error, job.solo and outcome == "late"
        job.run_at = time.monotonic() + (self.backoff_s if after_s is None else after_s)

    def give_up(self, session: Session, why: str) -> None:
        """Ends a session that did not leave: its jobs are run alone from now on."""
        session.ended = why
        for job in list(session.held.values()):
            job.deaths, job.attempt = job.deaths + int(job.solo), job.attempt - 1
            if job.solo and job.deaths >= DEATHS_MAX:
                self._end(job, "died", "failed", "poisoned", None)
                continue
            self._let_go(job, "died", None)
            job.state, job.solo = "queued", True

    def tick(self) -> None:
        """What time alone brings about: sessions that were not heard of, tries that took too long."""
        now = time.monotonic()
        for session in list(self.sessions.values()):
            if not session.ended and session.alive_until < now:
                self.give_up(session, "died")
            for job in list(session.held.values()):
                if job.deadline_at < now:
                    self._try_again(job, "late", {"type": "DeadlineExceeded", "message": "The attempt took too long.", "traceback": None}, None)


def _checked(item: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Refuses what an item may not say; answers its error, cut to what is kept."""
    if (item["outcome"] == "succeeded") != (item["result"] is not None):
        raise Fault("invalid_result", "The outcome succeeded carries a result, and no other does.", "/result")
    for name, most in (("duration_s", 1e9), ("retry_after_s", RETRY_AFTER_MAX_S)):
        if item[name] is not None and not 0 <= item[name] <= most:
            raise Fault("invalid_field", "%s is seconds from 0 to %s." % (name, most), "/" + name)
    if item["error"] is None:
        return None
    for name, words in item["error"].items():
        check_free(words, "/error/" + name)
    return {name: words and (words[-ERROR_CHARS[name]:] if name == "traceback" else words[:ERROR_CHARS[name]])
            for name, words in item["error"].items()}
