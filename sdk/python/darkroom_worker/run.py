"""`darkroom-worker run`: loads a model, registers it, and serves until it is told to end."""
import contextlib
import logging
import os
import queue
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, Callable, List, NamedTuple, Optional

from . import expect, offline
from .files import Folder
from .http import Server
from .outcomes import Tally
from .pool import Pool
from .predictor import Predictor
from .process import NotServing, Spec
from .session import REVIVE_S, Session, Settings
from .watch import Watch

log = logging.getLogger("darkroom")
TICK_S = 0.25
PATIENCE_S = 30.0
ENDED, FAILED, KEY_REVOKED, INTERRUPTED = 0, 1, 3, 130  # exit codes
UNKNOWN_ANSWERS = "unknown answers"  # the reason of a model that loads, and says something else than it is known to say


class Event(NamedTuple):
    """Something for the main thread: a signal, a pool that is `ready` or `unfit`, a session that is `over`."""

    kind: str
    what: Any = None
    reason: str = ""
    message: str = ""


class Run:
    """Owns the processes of the model and the session. Only its main thread changes them; the others put events."""

    def __init__(self, spec: Spec, server: Server, settings: Settings, *, watch: bool = False, known: Optional[str] = None,
                 pool: Callable[[Spec, int], Predictor] = Pool):
        self.spec, self.server, self.settings, self.make_pool = spec, server, settings, pool
        self.folder, self.tally = Folder(), Tally()
        self.known = expect.read(Path(known)) if known else None
        self.watch = Watch(spec.path) if watch else None
        self.events: "queue.SimpleQueue[Event]" = queue.SimpleQueue()  # may be put to from a signal handler
        self.ending = threading.Event()
        self.signals = 0
        self.pool: Optional[Predictor] = None  # that serves
        self.next_pool: Optional[Predictor] = None  # loaded, to serve when the session has ended
        self.loading: Optional[Predictor] = None
        self.patience = 0.0  # when it is said again that the model is loading
        self.session: Optional[Session] = None
        self.trouble: Optional[str] = None

    def main(self) -> int:
        """Serves. Returns the exit code."""
        def on_signal(number: int, frame: Optional[FrameType]) -> None:
            self.events.put(Event("signal"))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        threading.Thread(target=self._load, daemon=True).start()
        try:
            return self._serve()
        finally:
            self.ending.set()
            for pool in {self.pool, self.next_pool, self.loading} - {None}:
                pool.kill() if self.signals > 1 else pool.close()  # type: ignore[union-attr]
            self.folder.remove()
            if self.settings.ready_file:
                with contextlib.suppress(OSError):
                    os.unlink(self.settings.ready_file)

    def _serve(self) -> int:
        handlers = {"signal": self._signal, "ready": self._ready, "unfit": self._unfit, "over": self._session_over}
        code: Optional[int] = None
        while code is None:
            try:
                event = self.events.get(timeout=TICK_S)
            except queue.Empty:
                self._tick()
                continue
            code = handlers[event.kind](event)
        return code

    def _tick(self) -> None:
        self.tally.say()
        if self.session is not None:
            self.session.nudge()
        elif self.loading is not None and time.monotonic() >= self.patience:
            log.info("the model is still loading")
            self.patience = time.monotonic() + PATIENCE_S

    # --- events, in the main thread

    def _signal(self, event: Event) -> Optional[int]:
        self.signals += 1
        self.ending.set()
        if self.session is None:
            log.info("ending")
            return ENDED
        if self.signals == 1:
            held = len(self.session.hand.held())
            log.info("ending: %d jobs in hand are finished first; a second signal gives them back", held)
            self.session.drain()
        elif self.signals == 2:
            self.session.end("released")
        return None

    def _ready(self, event: Event) -> Optional[int]:
        self.next_pool, self.loading = event.what, None
        self._tell_trouble(None)
        if self.session is None:
            self._open()
        else:
            log.info("the new code is loaded, as version %s", event.what.about["version"])
            self.session.hurry()
        return None

    def _unfit(self, event: Event) -> Optional[int]:
        self.loading = None
        then = "The code before goes on serving." if self.session else "It loads again when its files change." if self.watch else ""
        log.error("%s", "\n".join(filter(None, [event.message, then])))
        self._tell_trouble(event.message)
        return FAILED if event.reason == UNKNOWN_ANSWERS and self.watch is None else None

    def _session_over(self, event: Event) -> Optional[int]:
        session: Session = event.what
        if event.message:
            log.warning("%s", event.message)
        if event.reason == "revoked":
            taken = "no longer takes this key" if session.worker else "does not take this key for this model"
            log.error("the server %s: nothing more can be done with it", taken)
            return KEY_REVOKED
        if event.reason in ("refused", "broken"):
            session.leave()
            return FAILED
        returned = session.leave(lost=event.reason == "lost")
        if event.reason == "released":
            log.info("%d jobs were given back", returned)
            return INTERRUPTED
        self.session = None
        left = session.hand.left()
        done = event.reason == "drained" and self.next_pool is None
        if self.ending.is_set() or done or left == 0:
            self.tally.say(now=True)
            log.info("ended, after %d jobs", self.tally.ended)
            return ENDED
        self.settings = self.settings._replace(max_jobs=left)
        if event.reason == "changed" and self.next_pool is None:
            self._retire(self.pool)
            self.pool = None
            if self.watch is None:  # which loads it otherwise
                threading.Thread(target=self._load, daemon=True).start()
        else:
            self._open()
        return None

    def _open(self) -> None:
        """A new session, with the newest code."""
        if self.next_pool is not None:
            self._retire(self.pool)
            self.pool, self.next_pool = self.next_pool, None
        assert self.pool is not None
        settings = self.settings
        if settings.batch == 0:  # as the model says
            settings = settings._replace(batch=int(self.pool.about["batch_size"]))
        if settings.ready_file is None:
            settings = settings._replace(ready_file="/tmp/darkroom-%s.ready" % self.pool.about["model"])
            self.settings = self.settings._replace(ready_file=settings.ready_file)
        self.session = Session(self.server, self.pool, settings, self.folder, self.tally,
                               lambda session, reason, message: self.events.put(Event("over", session, reason, message)))
        self.session.trouble = self.trouble
        self.session.start()

    def _tell_trouble(self, trouble: Optional[str]) -> None:
        self.trouble = trouble
        if self.session is not None:
            self.session.tell_trouble(trouble)

    @staticmethod
    def _retire(pool: Optional[Predictor]) -> None:
        if pool is not None:
            threading.Thread(target=pool.close, daemon=True).start()

    # --- the thread that loads

    def _load(self) -> None:
        """Loads the model until it loads; then, if its files are watched, at every edit. Puts `ready` and `unfit`."""
        pause_s = REVIVE_S[0]
        while not self.ending.is_set():
            if self.watch is not None:
                self.watch.seen()
            event = self._load_once()
            if event.kind == "unfit" and self.ending.is_set():  # it was ended while it loaded
                return
            if self.watch is not None:
                self.events.put(event)
                self.watch.changed(self.ending)
            elif event.kind == "ready" or event.reason == UNKNOWN_ANSWERS:  # the same code will give the same answers
                return self.events.put(event)
            else:
                self.events.put(event._replace(message="%s\nTrying again in %g s." % (event.message, pause_s)))
                self.ending.wait(pause_s)
                pause_s = min(2 * pause_s, REVIVE_S[1])

    def _load_once(self) -> Event:
        pool = self.make_pool(self.spec, self.settings.processes)
        self.loading, self.patience = pool, time.monotonic() + PATIENCE_S
        log.info("loading %s; it registers when that is done", self.spec.path)
        try:
            about = pool.start()
            if self.watch is not None:
                self.watch.follow(about["files"])
            unlike = self._unlike(pool)
        except NotServing as error:
            pool.close()
            return Event("unfit", message="the model does not load: %s" % error.whole())
        if unlike:
            pool.close()
            return Event("unfit", reason=UNKNOWN_ANSWERS, message="\n".join(unlike))
        return Event("ready", pool)

    def _unlike(self, pool: Predictor) -> List[str]:
        """How the model's answers differ from those known of it, a line for each photograph. Raises `NotServing`."""
        if self.known is None:
            return []
        said = offline.refusals(pool, self.known, self.settings.timeout_s)
        return said and ["the model does not give its known answers, so it is not served:"] + said
