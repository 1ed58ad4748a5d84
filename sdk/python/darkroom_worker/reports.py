"""What a run says while it trains, told to the server: metrics together, files one after another."""
import hashlib
import json
import os
import queue
import threading
import time
import urllib.parse
from typing import Any, Callable, Dict, List, Optional, Tuple

from .http import Failure, Server

METRICS_EVERY_S = 1.0  # at most one call for metrics in that time
POINTS_MAX = 1000  # of one call
CHUNK = 1 << 20  # bytes read at once


class Reports:
    """Of one run; a thread of its own tells them in their order."""

    def __init__(self, server: Server, held: Any, worker: str, lose: Callable[[], None]):
        """`lose` is called when the server says that the run is no longer ours."""
        self._server, self._held, self._worker, self._lose = server, held, worker, lose
        self._said: "queue.SimpleQueue[Optional[Dict[str, Any]]]" = queue.SimpleQueue()
        self._refusal: Optional[Dict[str, Optional[str]]] = None
        self._thread = threading.Thread(target=self._tell_all, daemon=True)
        self._thread.start()

    def hear(self, message: Dict[str, Any]) -> None:
        """What the module says: a metric, its progress, a checkpoint, a model."""
        if "progress" in message:
            _, self._held.progress, self._held.note = message["progress"]
        else:
            self._said.put(message)

    def finish(self) -> Optional[Dict[str, Optional[str]]]:
        """Waits until all is told, or the run is lost; returns why the server refused some of it, if it did."""
        self._said.put(None)
        self._thread.join()
        return self._refusal

    def _tell_all(self) -> None:
        going = True
        while going:
            points, file, going = self._next()
            try:
                if points:
                    self._post(points)
                if file is not None:
                    self._upload(file)
            except Failure as error:
                if error.status not in (404, 409, 410):
                    self._refusal = {"type": type(error).__name__, "message": str(error)[:2000], "traceback": None}
                self._lose()
                return

    def _next(self) -> Tuple[List[Dict[str, Any]], Optional[Dict[str, Any]], bool]:
        """Metrics that came together, the file after them, and whether there will be more."""
        points: List[Dict[str, Any]] = []
        until: Optional[float] = None
        while len(points) < POINTS_MAX:
            try:
                message = self._said.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if message is None:
                return points, None, False
            if "metric" not in message:
                return points, message, True
            points.append(message["metric"])
            until = until or time.monotonic() + METRICS_EVERY_S
        return points, None, True

    def _wanted(self) -> bool:
        return not self._held.lost

    def _post(self, points: List[Dict[str, Any]]) -> None:
        body = json.dumps({"worker": self._worker, "lease_no": self._held.lease_no, "points": points}).encode()
        self._server.call("POST", self._held.run["metrics_url"], body, wanted=self._wanted)

    def _upload(self, said: Dict[str, Any]) -> None:
        kind = "model" if "model" in said else "checkpoint"
        path = said[kind]
        query = {"worker": self._worker, "lease_no": self._held.lease_no, "sha256": _sha256(path)}
        if kind == "model":
            query["name"] = said["name"]
        elif said["epoch"] is not None:
            query["epoch"] = int(said["epoch"])
        try:
            self._server.upload("%s?%s" % (self._held.run[kind + "_url"], urllib.parse.urlencode(query)), path, self._wanted)
        finally:
            os.unlink(path)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()
