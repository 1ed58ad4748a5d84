"""Faults on demand: what the server is told to do wrong, each a number of times, on one operation or on any."""
from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, List, Optional

OPERATIONS = ("register", "beat", "claim", "complete", "release", "leave", "image")


@dataclass
class Trouble:
    """One kind of fault that is still to happen `times` times."""

    on: str  # an operation, or "any"
    kind: str  # status, reset, garbage, redirect, delay
    times: int
    status: int = 503
    retry_after_s: Optional[float] = None
    late: bool = False  # the request is carried out; only its answer is lost
    seconds: float = 0.0
    until: Callable[[], bool] = lambda: False  # ends a delay sooner
    url: str = ""


class Troubles:
    """The faults to come, first told first done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._list: List[Trouble] = []

    def add(self, trouble: Trouble) -> None:
        if trouble.on != "any" and trouble.on not in OPERATIONS:
            raise ValueError("no operation %r: any, %s" % (trouble.on, ", ".join(OPERATIONS)))
        with self._lock:
            self._list.append(trouble)

    def take(self, operation: str) -> Optional[Trouble]:
        """The fault that this request meets, if any."""
        with self._lock:
            for trouble in self._list:
                if trouble.on in ("any", operation):
                    trouble.times -= 1
                    if trouble.times <= 0:
                        self._list.remove(trouble)
                    return trouble
        return None

    def left(self) -> int:
        """How many are still to happen."""
        with self._lock:
            return sum(trouble.times for trouble in self._list)

    def clear(self) -> None:
        with self._lock:
            self._list.clear()
