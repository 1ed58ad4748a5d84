"""The parent's side of one process of the model: started, given work, watched, killed when it hangs."""
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any, Callable, ContextManager, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .child import Frame, receive, send
from .model import Outcome

# The folder of the package comes last on the path, so that no module of a model stands before Python's own.
BOOT = ("import sys; sys.path[:] = [p for p in sys.path if p] + [%r]; "
        "from darkroom_worker.%s import main; sys.exit(main(sys.argv[1:]))")
PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOOK_S = 0.2  # how often a silent process is looked at
CLOSE_S = 5.0  # how long a process may take to end when asked
LAST_LINES = 30  # of a process' output that go with the news of its death

About = Dict[str, Any]


class Task(NamedTuple):
    """One image for the model."""

    key: str
    path: str
    md5: Optional[str] = None
    size: Optional[Tuple[int, int]] = None
    media_type: Optional[str] = None
    params: Dict[str, Any] = {}
    limit_s: Optional[float] = None  # a prediction that takes longer is killed; of a batch, the sum


class Spec(NamedTuple):
    """Which model to load, and as what."""

    path: str
    name: Optional[str] = None
    version: Optional[str] = None


class Listener:
    """Hears what becomes of tasks; the pool calls it in the thread that runs them."""

    def progress(self, key: str, fraction: Optional[float], note: Optional[str]) -> None:
        """The model says how far it is."""

    def together(self) -> ContextManager[object]:
        """Around the `done` of tasks that ended with one call of the model."""
        return contextlib.nullcontext()

    def done(self, task: Task, outcome: Outcome) -> None:
        """A task has ended."""

    def batch_ended(self, count: int, seconds: float, problem: Optional[str]) -> None:
        """So many tasks took the model so long; `problem` is why they had to be done one by one, if they had."""


More = Callable[[], Sequence[Task]]


class NotServing(Exception):
    """The model's code does not load or `init` fails; `error` is as `errors.explain` makes it."""

    def __init__(self, error: Dict[str, Optional[str]]):
        super().__init__("%s: %s" % (error["type"], error["message"]))
        self.error = error

    def whole(self) -> str:
        """What is wrong in a line, and where below it."""
        return "\n".join(filter(None, [str(self), (self.error["traceback"] or "").rstrip()]))


class Died(Exception):
    """The process ended, or was killed, while it worked on `running`; it had been given `groups`, done ones included."""

    def __init__(self, kind: str, message: str, output: str, running: List[Task], groups: List[List[Task]]):
        super().__init__(message)
        self.error = {"type": kind, "message": message, "traceback": output or None}
        self.running, self.groups = running, groups


class Process:
    """One process with the model loaded in it."""

    MAIN = "child"  # the module of this package that runs in it

    def __init__(self, spec: Spec):
        self._last: Deque[str] = deque(maxlen=LAST_LINES)
        self._frames: "queue.SimpleQueue[Optional[Frame]]" = queue.SimpleQueue()
        self._send_lock = threading.Lock()
        self._running = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT % (PACKAGES, self.MAIN), json.dumps(spec._asdict())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)  # its forks go with it, and the terminal's Ctrl-C does not reach it
        self.pid = self._process.pid
        self._printer = threading.Thread(target=self._pass_on, daemon=True)
        self._printer.start()
        threading.Thread(target=self._read, daemon=True).start()

    def _pass_on(self) -> None:
        """Prints what the model prints, line by line."""
        assert self._process.stderr is not None
        for line in iter(lambda: self._process.stderr.readline(65536), b""):  # type: ignore[union-attr]
            told = line.decode("utf-8", "replace").rstrip("\n")
            self._last.append(told)
            with contextlib.suppress(OSError, ValueError):
                print(told, file=sys.stderr, flush=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for frame in iter(lambda: receive(self._process.stdout), None):  # type: ignore[arg-type]
                self._frames.put(frame)
        self._frames.put(None)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> About:
        """Waits until `init` is done, however long that takes. Raises `NotServing`."""
        frame = self._next(None)
        if frame is not None and "ready" in frame[0]:
            return dict(frame[0]["ready"])
        if frame is not None:
            raise NotServing(frame[0]["failed"])
        raise NotServing({"type": "ModelDied", "message": "the model's process ended while loading, with %s" % self._end(),
                          "traceback": self._output() or None})

    def run(self, tasks: Sequence[Task], listener: Listener, max_bytes: Optional[int], more: More) -> Optional[str]:
        """Predicts them, and what `more` has while the model works: that is sent ahead, so that the model goes on
        without a pause. Returns why a batch had to be done one by one, if one had. Raises `Died`."""
        current, problem = self._send(tasks, max_bytes), None
        self._running = True
        ahead: List[Task] = []
        done: List[Tuple[Task, Outcome]] = []  # in the call that is coming to its end
        while True:
            running, began = list(range(len(current))), time.monotonic()
            until, ended = _until(current, running), False
            while not ended:
                frame = self._next(until)
                if frame is None:
                    _tell(listener, done)
                    raise self._death([current[index] for index in running], [current, ahead], until)
                message, payload = frame
                if "progress" in message:
                    listener.progress(*message["progress"])
                elif "starts" in message:
                    _tell(listener, done)
                    running = message["starts"]
                    until = _until(current, running)
                    ahead = ahead or self._send(more(), max_bytes)
                elif "more" in message:
                    ahead = ahead or self._send(more(), max_bytes)
                elif "done" in message:
                    running = [other for other in running if other != message["done"]]
                    done.append((current[message["done"]], _outcome(message, payload)))
                else:
                    _tell(listener, done)
                    ended, problem = True, message["batch_error"] or problem
                    listener.batch_ended(len(current), time.monotonic() - began, message["batch_error"])
            if not ahead:
                self._running = False
                return problem
            current, ahead = ahead, []

    def train(self, order: Dict[str, Any], limit_s: float, hears: Callable[[Dict[str, Any]], None]) -> Outcome:
        """Trains one run, and passes on what it says. Raises `Died`."""
        until = time.monotonic() + limit_s
        self._order(order)
        while True:
            frame = self._next(until)
            if frame is None:
                raise self._death([], [], until)
            message, payload = frame
            if "done" in message:
                return _outcome(message, payload)
            hears(message)

    def _send(self, tasks: Sequence[Task], max_bytes: Optional[int]) -> List[Task]:
        if tasks:
            self._order({"tasks": [task._asdict() for task in tasks], "max_bytes": max_bytes})
        return list(tasks)

    def ask_more(self) -> None:
        """There may be more: a run under way asks its `more` again."""
        if self._running:
            self._frames.put(({"more": True}, b""))

    def cancel(self, key: str) -> None:
        """Lets the task's next `progress` raise `Cancelled`."""
        self._order({"cancel": key})

    def _order(self, message: Dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._send_lock, contextlib.suppress(OSError, ValueError):  # its death shows in what it answers
            send(self._process.stdin, message)

    def _next(self, until: Optional[float]) -> Optional[Frame]:
        """The next frame; None when the process is dead, or the time is over."""
        dead = False
        while True:
            left = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            try:
                return self._frames.get(timeout=max(0.0, left))
            except queue.Empty:
                if dead or (until is not None and time.monotonic() >= until):
                    return None
                dead = not self.alive  # a process that it forked may keep the pipe open; one more look for its last words

    def _death(self, running: List[Task], groups: List[List[Task]], until: Optional[float]) -> Died:
        if self.alive and until is not None and time.monotonic() >= until:
            self.kill()
            limit_s = sum(task.limit_s or 0.0 for task in running)
            return Died("TimedOut", "it took longer than the %.3g s that it may, and was killed" % limit_s, self._output(), running, groups)
        end = self._end()
        return Died("ModelDied", "the model's process ended with %s" % end, self._output(), running, groups)

    def _end(self) -> str:
        """Waits for the end, and says what it was."""
        self.kill(after_s=LOOK_S)
        code = self._process.wait()
        if code >= 0:
            return "exit code %d" % code
        name = signal.Signals(-code).name if -code in list(signal.Signals) else "?"
        return "signal %d (%s)%s" % (-code, name, ": out of memory?" if name == "SIGKILL" else "")

    def _output(self) -> str:
        self._printer.join(LOOK_S)
        return "\n".join(self._last)

    def kill(self, after_s: float = 0.0) -> None:
        """Ends the process and what it forked, at once or after a grace."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if after_s:
                self._process.wait(after_s)
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Asks it to end, and kills it if it does not."""
        with self._send_lock, contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self.kill(after_s=CLOSE_S)


def _tell(listener: Listener, done: List[Tuple[Task, Outcome]]) -> None:
    with listener.together():
        for task, outcome in done:
            listener.done(task, outcome)
    done.clear()


def _until(tasks: Sequence[Task], running: Sequence[int]) -> Optional[float]:
    limits = [tasks[index].limit_s for index in running]
    return None if None in limits else time.monotonic() + sum(filter(None, limits))


def _outcome(message: Dict[str, Any], payload: bytes) -> Outcome:
    return Outcome(message["kind"], payload or None, message["error"], message["after"], message["s"])
