"""A worker's process against the in-memory server, for the tests of `run`."""
import os
import re
import signal
import subprocess
import sys
import threading

from darkroom_worker.testing import Server
from darkroom_worker.testing import png as noise


class Serving:
    """One `darkroom-worker run`, or another command; what it says is in `said`, and no wait is longer than a minute."""

    def __init__(self, server, *arguments, command="run", before="", **environment):
        """`before` is Python that runs before the command does."""
        self.said, self._new = "", threading.Condition()
        starts = ["-c", before + "\nimport sys\nfrom darkroom_worker.cli import main\nsys.exit(main())"] if before else ["-m", "darkroom_worker"]
        self.process = subprocess.Popen(
            [sys.executable, *starts, command, *map(str, arguments)], stderr=subprocess.PIPE, text=True,
            env={**os.environ, **server.environment(), **environment})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._new:
                self.said += line
                self._new.notify_all()

    def hears(self, pattern, timeout_s=60):
        """Waits until it has said this."""
        with self._new:
            assert self._new.wait_for(lambda: re.search(pattern, self.said), timeout_s), (pattern, self.said)

    def ends(self, code, timeout_s=60):
        """Waits for its end."""
        try:
            assert self.process.wait(timeout_s) == code, self.said
        except subprocess.TimeoutExpired:
            raise AssertionError(self.said) from None
        self._reader.join(5)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)


def png(width, height):
    """A photograph of this size."""
    return noise(width, width, height)


def photos(count):
    """Photographs of the widths 8, 9, …"""
    return [png(8 + n, 8) for n in range(count)]


def asked(server, operation):
    """The requests of one operation so far."""
    return [request for request in list(server.requests) if request.operation == operation]


__all__ = ["Server", "Serving", "asked", "photos", "png"]
