"""What a session has its images predicted by: processes of a model, or a server that expects to be called."""
from typing import Any, Optional, Protocol, Sequence

from .process import About, Listener, More, Task


class Predictor(Protocol):
    """`pool.Pool` is one, `bridge.remote.Remote` another."""

    about: About
    max_bytes: Optional[int]

    def start(self) -> About:
        """Waits until images can be predicted; returns what the registration says. Raises `NotServing`."""

    def run(self, tasks: Sequence[Task], listener: Listener, more: More = ...) -> Any:
        """Predicts these; every task gets its `done`. Raises `NotServing`: what had no `done` was not touched."""

    def ask_more(self) -> None:
        """A run under way may ask its `more` again."""

    def revive(self) -> None:
        """Sees to it that images can be predicted again. Raises `NotServing`."""

    def cancel(self, key: str) -> None:
        """This task is no longer wanted."""

    def memory(self) -> int:
        """Bytes of memory that it needs here."""

    def close(self) -> None:
        """Ends, in some seconds at most."""

    def kill(self) -> None:
        """Ends at once."""
