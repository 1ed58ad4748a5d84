"""The jobs in hand, from their claim to the answer about them: what each thread of a session takes next, and leaves.

One lock guards all of it, and nothing here talks to anybody.
"""
import json
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from .image import UPRIGHT_SWAPS
from .process import Task

FETCHING, READY, RUNNING, ENDED = "fetching", "ready", "running", "ended"
FILL_S = 0.05  # how long a batch waits for images that are already on their way
ITEMS_MAX, ITEM_BYTES_MAX = 500, 4 << 20  # of one completion; the server takes 1,000 and 16 MiB


class Job:
    """A job whose lease is ours."""

    def __init__(self, told: Dict[str, Any]):
        self.id, self.lease_no, self.solo = str(told["id"]), int(told["lease_no"]), bool(told.get("solo"))
        self.key = "%s/%d" % (self.id, self.lease_no)  # a job that comes back is another task
        self.image, self.params = told["image"], told.get("params") or {}
        self.claimed = time.monotonic()
        self.deadline = self.claimed + float(told.get("deadline_s") or 3600)
        self.state, self.path = FETCHING, None  # type: str, Optional[str]
        self.progress: Optional[float] = None
        self.note: Optional[str] = None

    def task(self, timeout_s: Optional[float]) -> Task:
        """It for the model, which may take as long as it was told, and no longer than the server waits."""
        left = max(1.0, self.deadline - time.monotonic() - 1.0)
        return Task(self.key, str(self.path), self.image["md5"], self._size(), self.image.get("media_type"), self.params,
                    left if timeout_s is None else min(timeout_s, left))

    def _size(self) -> Optional[Tuple[int, int]]:
        width, height = self.image.get("width"), self.image.get("height")
        if not width or not height:
            return None
        return (height, width) if self.image.get("orientation") in UPRIGHT_SWAPS else (width, height)

    def lease(self) -> Dict[str, Any]:
        return {"id": self.id, "lease_no": self.lease_no}


class Item(NamedTuple):
    """What became of a job, for the server."""

    job: Job
    told: Dict[str, Any]
    result: Optional[bytes]  # JSON, as the model's process wrote it

    def encode(self) -> bytes:
        encoded = json.dumps({**self.job.lease(), **self.told}).encode()
        return encoded if self.result is None else encoded[:-1] + b', "result": ' + self.result + b"}"


class Hand:
    """What one session holds."""

    def __init__(self, want: Callable[[], int], max_jobs: Optional[int] = None):
        """`want` says how many jobs to hold; of `max_jobs`, None is no limit."""
        self.changed = threading.Condition()
        self.over = False  # every thread is to end
        self.taking = True  # more may be claimed
        self.stalled = False  # there is no model to give them to
        self.paused_until = 0.0
        self._want, self._left = want, max_jobs
        self._claiming = False
        self._jobs: Dict[str, Job] = {}
        self._fetching: Deque[Job] = deque()
        self._ready: Deque[Job] = deque()
        self._ended: Deque[Item] = deque()

    # --- claiming: one claim at a time

    def begin_claim(self, freed: int = 0) -> int:
        """How many to claim now, `freed` being about to end; 0 is none, otherwise `end_claim` follows."""
        with self.changed:
            held = len(self._jobs) - freed
            if self._claiming or not self.taking or self.over or self.stalled or time.monotonic() < self.paused_until:
                return 0
            if any(job.solo and not (freed and job.state == ENDED) for job in self._jobs.values()):
                return 0  # nothing may be in hand beside it
            room = self._want() - held
            room = max(0, room if self._left is None else min(room, self._left))
            self._claiming = room > 0
            return room

    def end_claim(self, told: List[Dict[str, Any]]) -> List[Job]:
        """Takes what was claimed in hand."""
        with self.changed:
            self._claiming = False
            jobs = [Job(one) for one in told]
            for job in jobs:
                self._jobs[job.id] = job
                self._fetching.append(job)
            if self._left is not None:
                self._left -= len(jobs)
            self.changed.notify_all()
            return jobs

    def await_room(self) -> int:
        """Waits until something may be claimed, as `begin_claim`; 0 when the session ends."""
        with self.changed:
            while self.taking and not self.over:
                if self._left == 0 and not self._jobs:
                    return 0
                room = self.begin_claim()
                if room:
                    return room
                self.changed.wait(0.5 if self.stalled or self.paused_until else 5.0)
            return 0

    def await_empty(self) -> None:
        """Waits until nothing is in hand, or the session ends."""
        with self.changed:
            while self._jobs and not self.over:
                self.changed.wait(1.0)

    # --- fetching and predicting

    def next_fetch(self) -> Optional[Job]:
        """The next job whose image is to be fetched; None when the session ends."""
        with self.changed:
            while not self.over:
                while self._fetching:
                    job = self._fetching.popleft()
                    if self.holds(job):
                        return job
                self.changed.wait(5.0)
            return None

    def fetched(self, job: Job, path: str) -> bool:
        """Its image lies at `path`; False when it is no longer ours."""
        with self.changed:
            if not self.holds(job):
                return False
            job.path, job.state = path, READY
            self._ready.append(job)
            self.changed.notify_all()
            return True

    def next_batch(self, size: int, whole: bool, share: int) -> List[Job]:
        """The next images for the model, at most `size`: if `whole`, those on their way are waited for a moment, else no
        more than one of `share` processes' part. [] when the session ends."""
        with self.changed:
            while not self.over:
                if self._ready and not self.stalled:
                    if whole:
                        self.changed.wait_for(lambda: self._full(size), FILL_S)
                    batch = self._begin(size if whole else min(size, -(-len(self._ready) // share)))
                    if batch:
                        return batch
                else:
                    self.changed.wait(5.0)
            return []

    def batch_ahead(self, size: int, whole: bool) -> List[Job]:
        """What there is for the model to do next, without waiting: if `whole`, a full batch or nothing."""
        with self.changed:
            if self.over or self.stalled or len(self._ready) < (size if whole else 1):
                return []
            return self._begin(size)

    def _begin(self, size: int) -> List[Job]:
        jobs = [self._ready.popleft() for _ in range(min(size, len(self._ready)))]
        jobs = [job for job in jobs if self.holds(job)]
        for job in jobs:
            job.state = RUNNING
        return jobs

    def _full(self, size: int) -> bool:
        waiting = sum(job.state == FETCHING for job in self._jobs.values())
        return self.over or len(self._ready) >= size or not waiting

    def reported(self, key: str, fraction: Optional[float], note: Optional[str]) -> None:
        """The model says how far a job is."""
        with self.changed:
            job = self.find(key)
            if job is not None:
                job.progress, job.note = fraction, note

    # --- ending

    def end(self, job: Job, told: Dict[str, Any], result: Optional[bytes] = None) -> None:
        """The job has come to an end, which is to be told if it is still ours then."""
        with self.changed:
            job.state = ENDED
            self._ended.append(Item(job, told, result))
            self.changed.notify_all()

    def next_ended(self) -> List[Item]:
        """All that has ended and is to be told; [] when the session ends."""
        with self.changed:
            while not self.over:
                items: List[Item] = []
                size = 0
                while self._ended and len(items) < ITEMS_MAX and size < ITEM_BYTES_MAX:
                    item = self._ended.popleft()
                    if self.holds(item.job):
                        items.append(item)
                        size += len(item.result or b"")
                if items:
                    return items
                if not self.taking and not self._jobs:
                    return []
                self.changed.wait(5.0)
            return []

    def drop(self, jobs: List[Job], returned: bool = False) -> None:
        """These are no longer in hand; `returned` ones do not count as done."""
        with self.changed:
            for job in jobs:
                if self.holds(job):
                    del self._jobs[job.id]
                    if returned and self._left is not None:
                        self._left += 1
            self.changed.notify_all()

    def find(self, key: str) -> Optional[Job]:
        """The job of a task, if it is still ours."""
        with self.changed:
            job = self._jobs.get(key.split("/")[0])
            return job if job is not None and job.key == key else None

    def holds(self, job: Job) -> bool:
        """Whether this very lease is still ours."""
        return self._jobs.get(job.id) is job

    def held(self, *states: str) -> List[Job]:
        """The jobs in hand, those in these states if any are named."""
        with self.changed:
            return [job for job in self._jobs.values() if not states or job.state in states]

    # --- the whole

    def left(self) -> Optional[int]:
        """How many of `max_jobs` may still be claimed."""
        return self._left

    def set(self, **what: Any) -> None:
        """Changes `taking`, `stalled`, `over` or `paused_until`, and wakes everybody."""
        with self.changed:
            for name, value in what.items():
                setattr(self, name, value)
            self.changed.notify_all()
