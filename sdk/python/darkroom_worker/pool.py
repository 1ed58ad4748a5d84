"""The parent's side of the model's processes: started, watched, killed when they hang, started again when they die."""
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
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .child import Frame, receive, send
from .model import Outcome

# The folder of the package comes last on the path, so that no module of a model stands before Python's own.
BOOT = ("import sys; sys.path[:] = [p for p in sys.path if p] + [%r]; "
        "from darkroom_worker.child import main; sys.exit(main(sys.argv[1:]))")
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


class Died(Exception):
    """The process ended, or was killed, while it worked on `running`; it had been given `groups`, done ones included."""

    def __init__(self, kind: str, message: str, output: str, running: List[Task], groups: List[List[Task]]):
        super().__init__(message)
        self.error = {"type": kind, "message": message, "traceback": output or None}
        self.running, self.groups = running, groups


class Process:
    """One process with the model loaded in it."""

    def __init__(self, spec: Spec):
        self._last: Deque[str] = deque(maxlen=LAST_LINES)
        self._frames: "queue.SimpleQueue[Optional[Frame]]" = queue.SimpleQueue()
        self._send_lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT % PACKAGES, json.dumps(spec._asdict())],
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
        """Predicts them, and what `more` has when the model has just begun: that is sent ahead, so that the model goes on
        without a pause. Returns why a batch had to be done one by one, if one had. Raises `Died`."""
        current, problem = self._send(tasks, max_bytes), None
        ahead: List[Task] = []
        while True:
            running, began = list(range(len(current))), time.monotonic()
            until, ended = _until(current, running), False
            while not ended:
                frame = self._next(until)
                if frame is None:
                    raise self._death([current[index] for index in running], [current, ahead], until)
                message, payload = frame
                if "progress" in message:
                    listener.progress(*message["progress"])
                elif "starts" in message:
                    running = message["starts"]
                    until = _until(current, running)
                    ahead = ahead or self._send(more(), max_bytes)
                elif "done" in message:
                    running = [other for other in running if other != message["done"]]
                    listener.done(current[message["done"]], _outcome(message, payload))
                else:
                    ended, problem = True, message["batch_error"] or problem
                    listener.batch_ended(len(current), time.monotonic() - began, message["batch_error"])
            if not ahead:
                return problem
            current, ahead = ahead, []

    def _send(self, tasks: Sequence[Task], max_bytes: Optional[int]) -> List[Task]:
        if tasks:
            self._order({"tasks": [task._asdict() for task in tasks], "max_bytes": max_bytes})
        return list(tasks)

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
            return Died("TimedOut", "the prediction took longer than it may and was killed", self._output(), running, groups)
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


def _until(tasks: Sequence[Task], running: Sequence[int]) -> Optional[float]:
    limits = [tasks[index].limit_s for index in running]
    return None if None in limits else time.monotonic() + sum(filter(None, limits))


def _outcome(message: Dict[str, Any], payload: bytes) -> Outcome:
    return Outcome(message["kind"], payload or None, message["error"], message["after"], message["s"])


class Pool:
    """The processes of one state of the model's code."""

    def __init__(self, spec: Spec, processes: int = 1, max_bytes: Optional[int] = None):
        self.spec, self.max_bytes = spec, max_bytes
        self.about: About = {}
        self._count = processes
        self._all: List[Process] = []
        self._free: "queue.LifoQueue[Optional[Process]]" = queue.LifoQueue()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> About:
        """Starts all processes and waits for their `init`. Raises `NotServing`, and then nothing runs."""
        started = [self._launch() for _ in range(self._count)]
        try:
            self.about = [process.wait_ready() for process in started][0]
        except NotServing:
            self.kill()
            raise
        for process in started:
            self._free.put(process)
        return self.about

    def _launch(self) -> Process:
        process = Process(self.spec)
        with self._lock:
            self._all.append(process)
            closed = self._closed
        if closed:
            process.kill()
        return process

    def run(self, tasks: Sequence[Task], listener: Listener, more: More = lambda: ()) -> Optional[str]:
        """Predicts in the next free process, these and what `more` has; every task gets its `done`. Returns as
        `Process.run` does.

        A process that dies takes nothing with it: the task it worked on ends as `retry` and says how it died, the
        others go on in a new process, one by one if it is not known whose fault it was. Raises `NotServing` when no
        new process can be had, or it has other code; tasks that had no `done` by then were not touched.
        """
        groups, problem, died = [list(tasks)], None, None
        while groups:
            checklist = _Checklist(listener, groups.pop(0))
            process = self._take()
            try:
                problem = process.run(checklist.group, checklist, self.max_bytes, checklist.taking(more)) or problem
            except Died as death:
                died = death
                groups[:0] = self._after(death, checklist)
            finally:
                self._free.put(process)
        if died is not None:  # the next is ready when it is needed, or it shows at once that there can be none
            self.revive()
        return problem

    def revive(self) -> None:
        """Sees to a process that can work. Raises `NotServing`."""
        self._free.put(self._take())

    @staticmethod
    def _after(death: Died, checklist: "_Checklist") -> List[List[Task]]:
        """What is still to be done, in groups; the task whose fault it was, if that is known, has its `done`."""
        left = [checklist.left(group) for group in death.groups]
        suspects = checklist.left(death.running) or left[0] or left[1]
        if len(suspects) == 1:
            checklist.done(suspects[0], Outcome("retry", error=death.error))
            return [checklist.left(group) for group in left if checklist.left(group)]
        return [[task] for task in suspects] + [rest for rest in ([t for t in g if t not in suspects] for g in left) if rest]

    def _take(self) -> Process:
        """A free process that lives."""
        process = self._free.get()
        if process is not None and process.alive:
            return process
        try:
            return self._replace(process)
        except BaseException:
            self._free.put(None)  # the next to come tries again
            raise

    def _replace(self, dead: Optional[Process]) -> Process:
        with self._lock:
            self._all = [process for process in self._all if process is not dead]
        if self._closed:
            raise NotServing({"type": "Closed", "message": "the worker is ending", "traceback": None})
        process = self._launch()
        about = process.wait_ready()
        if about != self.about:  # the files were changed: as another version it needs another registration
            process.kill()
            raise NotServing({"type": "CodeChanged", "message": "the model's files have changed", "traceback": None})
        return process

    def cancel(self, key: str) -> None:
        """Lets the next `progress` of this task raise `Cancelled`."""
        for process in self._living():
            process.cancel(key)

    def memory(self) -> int:
        """Bytes that the largest of the processes has in memory; 0 where the system does not tell."""
        sizes = [0]
        for process in self._living():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open("/proc/%d/statm" % process.pid) as statm:
                    sizes.append(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return max(sizes)

    def _living(self) -> List[Process]:
        with self._lock:
            return list(self._all)

    def close(self) -> None:
        """Lets the processes end, and waits for that at most some seconds."""
        self._end(Process.close)

    def kill(self) -> None:
        """Ends the processes at once."""
        self._end(Process.kill)

    def _end(self, how: Callable[[Process], None]) -> None:
        with self._lock:
            self._closed = True
            ending, self._all = self._all, []
        threads = [threading.Thread(target=how, args=(process,)) for process in ending]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class _Checklist(Listener):
    """Passes on, and knows what is not done yet."""

    def __init__(self, listener: Listener, group: List[Task]):
        self.group, self._listener = group, listener
        self.progress, self.batch_ended = listener.progress, listener.batch_ended  # type: ignore[method-assign]
        self._waiting = {task.key for task in group}

    def taking(self, more: More) -> More:
        """The same `more`, with what it gives on the list."""
        def take() -> Sequence[Task]:
            tasks = more()
            self._waiting.update(task.key for task in tasks)
            return tasks
        return take

    def left(self, tasks: Sequence[Task]) -> List[Task]:
        """Those that are not done."""
        return [task for task in tasks if task.key in self._waiting]

    def done(self, task: Task, outcome: Outcome) -> None:
        self._waiting.discard(task.key)
        self._listener.done(task, outcome)
