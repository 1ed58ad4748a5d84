"""The bridged server in the place of a model's processes: it is waited for, called, and left alone while it does not work."""
import logging
import threading
import time
from typing import Any, Callable, Dict, Optional, Sequence

from .. import results
from ..errors import Reject, clean, explain
from ..model import Outcome
from ..process import Listener, More, NotServing, Task
from .client import NotReady, ServerError
from .protocol import About, Call, Protocol

log = logging.getLogger("darkroom")
LOOK_S = (1.0, 2.0)  # how often a server that is down, and one that works, is asked whether it is ready
ABOUT_EVERY_S = 30.0  # how often it is asked what it is, however busy: so long another model may pass for this one
FAULTS_MAX = 5  # photographs that fail one after the other until the server is thought to be at fault
REST_S = (1.0, 60.0)  # the first and the longest pause for a server at fault
MESSAGE_CHARS = 2000

Stall = Callable[[NotServing], None]


class Remote:
    """One server; what it offers is what `predictor.Predictor` asks for."""

    def __init__(self, protocol: Protocol, name: str, version: Optional[str], leave_s: Optional[float] = None,
                 gone: Callable[[], None] = lambda: None):
        """`gone` is called when the server has not been ready for `leave_s`."""
        self.about: Dict[str, Any] = {}
        self.max_bytes: Optional[int] = None
        self.trouble: Optional[Stall] = None  # is told when the server stops working while nobody asks it anything
        self._protocol, self._name, self._version, self._leave_s, self._gone = protocol, name, version, leave_s, gone
        self._closed = threading.Event()
        self._calls: Dict[str, Call] = {}
        self._faults, self._rest_s, self._rest_until, self._why = 0, REST_S[0], 0.0, ""
        self._down_since: Optional[float] = None
        self._told: Optional[str] = None  # why it does not work, as was said last

    def start(self) -> Dict[str, Any]:
        """Waits until the server is ready and has said what it is, however long that takes."""
        self.about = self._until_ready(self._describe)
        threading.Thread(target=self._watch, daemon=True).start()
        return self.about

    def _describe(self) -> Dict[str, Any]:
        self._look()
        try:
            told: About = self._protocol.about()
        except (NotReady, ServerError, Reject) as error:
            raise self._down(str(error)) from error
        return {"model": self._name, "version": self._version or told.version or "bridge", "description": told.description,
                "tags": [], "labels": [], "params_schema": told.params_schema, "batch_size": 1, "batched": False, "files": []}

    def _until_ready(self, ask: Callable[[], Dict[str, Any]], first: Optional[str] = None) -> Dict[str, Any]:
        """Asks until it is answered; says why not when that is new. With `first`, which is known, raises what is new."""
        said = first
        while True:
            try:
                return ask()
            except NotServing as error:
                why = error.error["message"]
                if self._closed.is_set() or (first is not None and why != first):
                    raise
                if why != said:
                    said = why
                    log.warning("%s; it is asked again each %g s", why, LOOK_S[0])
            self._closed.wait(LOOK_S[0])

    def _look(self) -> None:
        """Raises `NotServing` if the server does not work."""
        if self._closed.is_set():
            raise _not_serving("Closed", "the worker is ending")
        if time.monotonic() < self._rest_until:
            raise _not_serving("Resting", self._why)
        try:
            self._protocol.ready()
        except (NotReady, ServerError, Reject) as error:
            raise self._down(str(error)) from error
        self._down_since = None

    def _down(self, why: str) -> NotServing:
        now = time.monotonic()
        self._down_since = self._down_since or now
        if self._leave_s is not None and now - self._down_since >= self._leave_s:
            self._leave_s = None  # said once
            self._gone()
        return _not_serving("NotReady", why)

    def _same(self) -> Dict[str, Any]:
        about = self._describe()
        if about != self.about:  # as another version it needs another registration
            raise _not_serving("CodeChanged", "%s is version %s now" % (self._name, about["version"]))
        return about

    def revive(self) -> None:
        """Waits until the server works again. Raises `NotServing` when why it does not is another reason than before, or it
        is not the same model any more."""
        try:
            self._until_ready(self._same, self._told or "")
        except NotServing as error:
            self._told = error.error["message"]
            raise

    def _watch(self) -> None:
        """The thread that finds out that the server does not work while nothing is asked of it."""
        asked = time.monotonic()
        while not self._closed.wait(LOOK_S[1]):
            busy, due = bool(self._calls), time.monotonic() - asked >= ABOUT_EVERY_S
            if busy and not due:
                continue
            try:
                if due:
                    asked = time.monotonic()
                    self._same()
                else:
                    self._look()
            except NotServing as error:
                if busy and error.error["type"] != "CodeChanged":
                    continue  # it may do one thing at a time; what it does will tell
                if self.trouble is not None and not self._closed.is_set():
                    self._told = error.error["message"]
                    self.trouble(error)

    # --- predictions

    def run(self, tasks: Sequence[Task], listener: Listener, more: More = lambda: ()) -> None:
        """Asks about each image. Raises `NotServing` when the server does not work; what had no `done` was not touched."""
        try:
            self._run(tasks, listener)
        except NotServing as error:
            self._told = error.error["message"]
            raise

    def _run(self, tasks: Sequence[Task], listener: Listener) -> None:
        for task in tasks:
            began = time.monotonic()
            outcome = self._predict(task)
            duration_s = time.monotonic() - began
            listener.done(task, outcome._replace(duration_s=duration_s))
            listener.batch_ended(1, duration_s, None)
            if outcome.kind == "retry":
                self._failed(str((outcome.error or {})["message"]))

    def _predict(self, task: Task) -> Outcome:
        call = Call(task)
        self._calls[call.key] = call
        try:
            encoded = results.encode(self._protocol.predict(call), self.max_bytes)
            self._faults, self._rest_s = 0, REST_S[0]
            return Outcome("succeeded", encoded)
        except Reject as error:
            self._faults, self._rest_s = 0, REST_S[0]
            return Outcome("rejected", error=_told(error))
        except NotReady as error:
            raise self._at_fault(str(error)) from error
        except ServerError as error:
            return self._after(call, error)
        except Exception as error:  # an answer that nobody thought of
            log.exception("an answer that nobody thought of")
            return Outcome("retry", error=explain(error))
        finally:
            self._calls.pop(call.key, None)

    def _after(self, call: Call, error: ServerError) -> Outcome:
        self._protocol.abandon(call)
        if call.cancelled.is_set():
            return Outcome("cancelled")
        if error.status == 503:  # it says itself that it has not begun
            self._look()
        return Outcome("retry", error=_told(error), after=error.after)

    def _failed(self, why: str) -> None:
        """A photograph failed: the server may have died of it, or be at fault itself."""
        self._faults += 1
        self._look()
        if self._faults >= FAULTS_MAX:
            raise self._at_fault("%d photographs in a row failed, the last with: %s" % (self._faults, why))

    def _at_fault(self, why: str) -> NotServing:
        """The server is left alone for a while, longer each time."""
        self._why, self._rest_until = why, time.monotonic() + self._rest_s
        self._rest_s = min(2 * self._rest_s, REST_S[1])
        return _not_serving("NotServing", why)

    def ask_more(self) -> None:
        """It asks about one image after the other, and takes none ahead."""

    def cancel(self, key: str) -> None:
        """Breaks off the request about this image."""
        call = self._calls.get(key)
        if call is not None:
            call.cancelled.set()
            self._protocol.client.hang_up(key)

    def memory(self) -> int:
        """The server's memory is its own affair."""
        return 0

    def close(self) -> None:
        """Asks nothing any more."""
        self._closed.set()
        for key in list(self._calls):
            self.cancel(key)
        self._protocol.close()

    kill = close


def _told(error: Exception) -> Dict[str, Optional[str]]:
    """An error as the server takes it; where in this package it was raised helps nobody."""
    return {"type": type(error).__name__, "message": clean(str(error))[:MESSAGE_CHARS], "traceback": None}


def _not_serving(kind: str, message: str) -> NotServing:
    return NotServing({"type": kind, "message": clean(message)[:MESSAGE_CHARS], "traceback": None})
