"""The processes of a model: those that die are started again, and take nothing with them."""
import contextlib
import os
import queue
import threading
from typing import Callable, List, Optional, Sequence

from .model import Outcome
from .process import About, Died, Listener, More, NotServing, Process, Spec, Task


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

    def ask_more(self) -> None:
        """Lets the runs under way ask their `more` again."""
        for process in self._living():
            process.ask_more()

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
        self.together = listener.together  # type: ignore[method-assign]
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
