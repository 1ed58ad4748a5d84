"""Sees edits to a model's files."""
import threading
from pathlib import Path
from typing import Dict, Iterable, Optional, Tuple

from .module import LOCKS

LOOK_S = 0.25  # how often the files are looked at; an edit is taken when it has been still that long
State = Dict[str, Optional[Tuple[int, int]]]


class Watch:
    """The files of one model: those that it said it is made of, and every .py and lock file beside it."""

    def __init__(self, path: str):
        self._folder = Path(path).resolve()
        if not self._folder.is_dir():
            self._folder = self._folder.parent
        self._files: Iterable[str] = []
        self._seen = self._look()

    def follow(self, files: Iterable[str]) -> None:
        """The model is made of these files, as they were when `settled` or `seen` last looked."""
        known, self._files = self._seen, list(files)
        self._seen = {**self._look(), **known}

    def seen(self) -> None:
        """What the files are now is what is about to be loaded."""
        self._seen = self._look()

    def changed(self, over: threading.Event) -> bool:
        """Waits for an edit, and until it is complete; False when `over` is set first."""
        while not over.wait(LOOK_S):
            now = self._look()
            if now == self._seen:
                continue
            while not over.wait(LOOK_S):
                before, now = now, self._look()
                if before == now:
                    return True
        return False

    def _look(self) -> State:
        beside = [str(file) for pattern in ("*.py",) + LOCKS for file in self._folder.glob(pattern)]
        return {file: _stamp(file) for file in {*self._files, *beside}}


def _stamp(file: str) -> Optional[Tuple[int, int]]:
    try:
        stat = Path(file).stat()
        return stat.st_mtime_ns, stat.st_size
    except OSError:
        return None
