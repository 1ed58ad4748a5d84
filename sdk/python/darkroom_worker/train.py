"""`darkroom-worker train`: registers a dataset's service, and trains its runs, one at a time."""
import contextlib
import json
import logging
import os
import signal
import socket
import threading
import uuid
from types import FrameType
from typing import Any, Dict, Optional

from . import __version__
from .files import Folder
from .http import Busy, DiskFull, Failure, Gone, Refused, Revoked, Server
from .model import Outcome
from .process import Died, NotServing, Process, Spec
from .reports import Reports
from .run import ENDED, FAILED, INTERRUPTED, KEY_REVOKED

log = logging.getLogger("darkroom")
WAIT_S = 25.0  # a claim waits on the server for a run
BEAT_TIMEOUT_S = 10.0
GRACE_S = 30.0  # how long a run that is no longer ours may go on before its process is killed
LEAVE_S = 5.0


class TrainingProcess(Process):
    """One process with the training module loaded in it."""

    MAIN = "training"


class Held:
    """The run in hand."""

    def __init__(self, told: Dict[str, Any]):
        self.id, self.lease_no, self.run = str(told["id"]), int(told["lease_no"]), told["run"]
        self.key, self.params = "%s/%d" % (self.id, self.lease_no), told.get("params") or {}
        self.limit_s = max(1.0, float(told.get("deadline_s") or 86400) - 1.0)
        self.lost = False  # it is no longer ours
        self.progress: Optional[float] = None
        self.note: Optional[str] = None

    def lease(self) -> Dict[str, Any]:
        return {"id": self.id, "lease_no": self.lease_no}


class Training:
    """Owns the process and the session. Its main thread claims and trains, another beats."""

    def __init__(self, spec: Spec, server: Server, *, timeout_s: Optional[float] = None, burst: bool = False,
                 max_runs: Optional[int] = None, ready_file: Optional[str] = None):
        self.spec, self.server, self.timeout_s, self.burst, self.left = spec, server, timeout_s, burst, max_runs
        self.ready_file, self.folder = ready_file, Folder()
        self.process: Optional[TrainingProcess] = None
        self.about: Dict[str, Any] = {}
        self.worker: Optional[str] = None
        self.max_bytes: Optional[int] = None
        self.held: Optional[Held] = None
        self.gone, self.over = threading.Event(), threading.Event()  # the session; all of it
        self.signals = 0

    def main(self) -> int:
        """Trains what comes. Returns the exit code."""
        self._thread = threading.current_thread()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._launch()
            self._serve()
            return INTERRUPTED if self.signals > 1 else ENDED
        except Revoked as error:
            log.error("%s", error)
            return KEY_REVOKED
        except NotServing as error:
            log.error("the module does not load: %s", error.whole())
            return FAILED
        except Failure as error:
            log.error("%s", error)
            return FAILED
        finally:
            self.over.set()
            self._leave()
            if self.process is not None:
                self.process.close()
            self.folder.remove()

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        self.signals += 1
        held = self.held
        if held is None or self.signals > 1:
            self.server.hang_up(self._thread)
        if held is not None and self.signals == 1:
            log.info("ending: the run in hand is finished first; a second signal gives it back")
        elif held is not None:
            self._lose(held, at_once=True)

    def _going(self) -> bool:
        return not (self.signals or self.gone.is_set() or self.left == 0)

    # --- the process

    def _launch(self) -> None:
        self.process = TrainingProcess(self.spec)
        self.about = self.process.wait_ready()
        self.ready_file = self.ready_file or "/tmp/darkroom-%s.ready" % self.about["dataset"]

    def _lose(self, held: Held, at_once: bool = False) -> None:
        """The run is no longer ours: the module is told, and killed if it does not hear."""
        held.lost = True
        process = self.process
        if process is not None:
            process.cancel(held.key)
            killing = threading.Timer(0.0 if at_once else GRACE_S, self._kill_if, (process, held))
            killing.daemon = True
            killing.start()

    def _kill_if(self, process: Process, held: Held) -> None:
        if self.held is held:
            process.kill()

    # --- the session

    def _serve(self) -> None:
        while not self.signals and self.left != 0:
            self.gone.clear()
            self._register()
            beating = threading.Thread(target=self._beat, args=(self.gone,), daemon=True)
            beating.start()
            try:
                while self._going():
                    told = self._claim()
                    if told is None or (self.burst and not told["jobs"]):
                        break
                    for job in told["jobs"]:
                        if self.signals:  # it came with the signal, so it is not begun
                            self._release(Held(job))
                        else:
                            self._train(Held(job))
                    if told["drain"]:
                        return
            except Gone:
                log.warning("the server gave this session up; registering again")
                self.worker = None
            finally:
                self.gone.set()
            if self.burst and self.worker is not None:
                return

    def _register(self) -> None:
        about = {key: self.about[key] for key in ("dataset", "version", "description", "tags", "params_schema")}
        body = {**about, "service": "train", "instance": str(uuid.uuid4()), "batch_max": 1, "host": socket.gethostname()[:200],
                "sdk": "darkroom-worker " + __version__}
        told = self.server.call("POST", "/workers/register", json.dumps(body).encode(), wanted=lambda: not self.signals)
        if told is None:
            self.gone.set()
            return
        self.worker, self.max_bytes, self.heartbeat_s = told["worker"], told.get("max_result_bytes"), float(told["heartbeat_s"])
        log.info("the service of %s %s is registered as %s", about["dataset"], about["version"], self.worker)

    def _leave(self) -> None:
        with contextlib.suppress(Failure):
            if self.worker is not None:
                self.server.once("DELETE", "/workers/" + self.worker, timeout_s=LEAVE_S)
        if self.ready_file:
            with contextlib.suppress(OSError):
                os.unlink(self.ready_file)

    def _body(self, **members: Any) -> bytes:
        return json.dumps({"worker": self.worker, **members}).encode()

    def _claim(self) -> Any:
        ask = self._body(claim_id=str(uuid.uuid4()), max=1, wait_s=0.0 if self.burst else WAIT_S)
        return self.server.call("POST", "/jobs/claim", ask, WAIT_S + 15, self._going)

    def _beat(self, gone: threading.Event) -> None:
        pause_s, tries = self.heartbeat_s, 0
        self._touch_ready()
        while not gone.wait(pause_s):
            held = self.held
            jobs = [] if held is None else [{**held.lease(), "progress": held.progress, "note": held.note}]
            body = json.dumps({"draining": bool(self.signals), "jobs": jobs}).encode()
            try:
                told = self.server.once("POST", "/workers/%s/heartbeat" % self.worker, body, BEAT_TIMEOUT_S)
                pause_s, tries = float(told["next_s"]), 0
                if held is not None and held.id in told["stop"] and not held.lost:
                    log.warning("run %s is no longer ours", held.id)
                    self._lose(held)
                self._touch_ready()
            except Busy as busy:
                pause_s, tries = busy.pause_s(min(tries, 5)), tries + 1
                log.warning("%s", busy)
            except Gone:
                gone.set()
                if held is not None:
                    self._lose(held)
                self.server.hang_up(self._thread)
            except Failure as error:  # claims and completions say if the session cannot go on
                log.warning("%s", error)

    def _touch_ready(self) -> None:
        if self.ready_file:
            with contextlib.suppress(OSError), open(self.ready_file, "w") as file:
                file.write(str(self.worker))

    # --- a run

    def _train(self, held: Held) -> None:
        self.held, self.left = held, None if self.left is None else self.left - 1
        reports = Reports(self.server, held, str(self.worker), lambda: self._lose(held))
        log.info("run %s begins", held.id)
        try:
            outcome = self._outcome(held, reports)
            refusal = reports.finish()
        finally:
            self.held = None
        if held.lost and refusal is None:
            if self.signals > 1:
                self._release(held)
            log.info("run %s ended as cancelled here", held.id)
        else:
            self._complete(held, outcome if refusal is None else Outcome("rejected", error=refusal))
        if (self.process is None or not self.process.alive) and not self.signals and self.left != 0:
            self._launch()

    def _release(self, held: Held) -> None:
        with contextlib.suppress(Failure):
            self.server.once("POST", "/jobs/release", self._body(items=[held.lease()]), LEAVE_S)

    def _outcome(self, held: Held, reports: Reports) -> Outcome:
        assert self.process is not None
        try:
            resume = self._checkpoint(held)
            order = {"key": held.key, "id": held.id, "params": held.params, "resume": resume, "folder": self.folder.path}
            limit_s = held.limit_s if self.timeout_s is None else min(held.limit_s, self.timeout_s)
            outcome = self.process.train(order, limit_s, reports.hear)
        except Died as death:
            self.process.kill()
            return Outcome("retry", error=death.error)
        except (DiskFull, OSError, Refused) as error:
            return Outcome("retry", error={"type": type(error).__name__, "message": str(error), "traceback": None})
        if outcome.kind == "cancelled" and not held.lost:
            return Outcome("retry", error={"type": "Cancelled", "message": "raised by the module itself", "traceback": None})
        if self.max_bytes is not None and len(outcome.result or b"") > self.max_bytes:
            return Outcome("rejected", error={"type": "InvalidResult", "traceback": None, "message":
                                              "the result has more than %d bytes of JSON: save large things" % self.max_bytes})
        return outcome

    def _checkpoint(self, held: Held) -> Optional[str]:
        """The file that the last attempt kept, if one did."""
        checkpoint = held.run.get("checkpoint")
        if checkpoint is None:
            return None
        path, file = self.folder.create(None)
        url = "%s?worker=%s&lease_no=%d" % (held.run["checkpoint_url"], self.worker, held.lease_no)
        with file:
            self.server.fetch(url, file, checkpoint["sha256"], lambda: not held.lost, "sha256")
        return path

    def _complete(self, held: Held, outcome: Outcome) -> None:
        item: Dict[str, Any] = {**held.lease(), "outcome": outcome.kind, "duration_s": outcome.duration_s}
        if outcome.kind == "succeeded":
            item["result"] = json.loads(outcome.result or b"null")
        else:
            item["error"] = outcome.error
            log.warning("run %s: %s: %s", held.id, outcome.kind, (outcome.error or {}).get("traceback") or outcome.error)
        if outcome.after is not None:
            item["retry_after_s"] = min(max(0.0, float(outcome.after)), 7 * 86400.0)
        told = self.server.call("POST", "/jobs/complete", self._body(items=[item]), wanted=lambda: self.signals < 2)
        if told is not None:
            answer = told["items"][0]
            log.info("run %s: %s", held.id, answer["state"] or (answer["problem"] or {}).get("detail"))
