"""What became of the jobs in hand, told to the server; the next are claimed in the same call."""
import json
import logging
import threading
import time
import uuid
from typing import Any, Callable, Dict, List, Tuple

from .hand import Hand, Item, Job
from .http import Refused, Server

log = logging.getLogger("darkroom")
LINE_S = 1.0  # between two lines about what was done


class Tally:
    """What a worker has done in all its sessions: on the terminal, a line at most once a second."""

    def __init__(self) -> None:
        self.ended = 0  # jobs whose outcome the server has
        self._lock = threading.Lock()
        self._said_at = 0.0
        self._unsaid: List[Tuple[float, bool]] = []  # the seconds that each took, and whether it was done well

    def count(self, done: List[Tuple[float, bool]]) -> None:
        """These have ended."""
        with self._lock:
            self.ended += len(done)
            self._unsaid += done
        self.say()

    def say(self, now: bool = False) -> None:
        """The line, if it is time and there is something to say; at the end, `now`."""
        with self._lock:
            if self._unsaid and (now or time.monotonic() - self._said_at >= LINE_S):
                good, count = sum(well for _, well in self._unsaid), len(self._unsaid)
                each_ms = 1000 * sum(seconds for seconds, _ in self._unsaid) / count
                log.info("%d succeeded, %d failed, %.0f ms each; %d in all", good, count - good, each_ms, self.ended)
                self._said_at, self._unsaid = time.monotonic(), []


class Outcomes:
    """Tells of the jobs of one session."""

    def __init__(self, server: Server, hand: Hand, tally: Tally, claimed: Callable[[Dict[str, Any]], None],
                 forget: Callable[[List[Job]], None]):
        """`claimed` takes the answer to a claim, `forget` what need not be held any longer."""
        self._server, self._hand, self._tally, self._claimed, self._forget = server, hand, tally, claimed, forget
        self._worker = ""

    def tell_all(self, worker: str) -> None:
        """Tells of every job as soon as it has ended, those that end at the same moment together, until the session is over
        or has nothing more to tell. Raises `Failure`."""
        self._worker = worker
        while True:
            items = self._hand.next_ended()
            if not items:
                return
            self._tell(items)

    def _tell(self, items: List[Item]) -> None:
        room = self._hand.begin_claim(len(items))
        parts = [b'{"worker": "%s", "items": [' % self._worker.encode(), b", ".join(item.encode() for item in items), b"]"]
        if room:
            parts.append(b', "claim": ' + json.dumps({"claim_id": str(uuid.uuid4()), "max": min(room, 1000)}).encode())
        told = None
        try:
            told = self._server.call("POST", "/jobs/complete", b"".join(parts) + b"}", wanted=lambda: not self._hand.over)
        except Refused as error:
            self._refused(items, error)
        finally:
            if room:
                self._claimed((told or {}).get("claimed") or {"jobs": [], "drain": False})
        if told is not None:
            again = [item for item, answer in zip(items, told["items"]) if self._answered(item, answer)]
            self._forget([item.job for item in items if item not in again])
            for item in again:
                self._hand.end(item.job, *self._as_rejected(item, "refused by the server"))
            self._tally.count([(item.told.get("duration_s", 0.0), item.told["outcome"] == "succeeded" and answer["status"] == 200)
                               for item, answer in zip(items, told["items"]) if item not in again])

    def _refused(self, items: List[Item], error: Refused) -> None:
        """The whole request was refused: each item by itself shows whose fault it was."""
        if len(items) > 1:
            for item in items:
                self._tell([item])
            return
        item = items[0]
        log.error("job %s: %s", item.job.id, error)
        if item.result is None:
            return self._forget([item.job])
        self._hand.end(item.job, *self._as_rejected(item, str(error)))

    @staticmethod
    def _as_rejected(item: Item, why: str) -> Any:
        return {"outcome": "rejected", "error": {"type": "ResultRefused", "message": why[:2000], "traceback": None}}, None

    def _answered(self, item: Item, answer: Dict[str, Any]) -> bool:
        """What the server said of one item; whether it must be told as rejected, because the result was not taken."""
        problem = answer.get("problem")
        if answer["status"] == 200 or problem is None:
            return False
        log.warning("job %s, image %s: what was told of it (%s) is refused by the server: %s %s", item.job.id, item.job.image["md5"],
                    item.told["outcome"], problem.get("code"), problem.get("detail"))
        return item.result is not None and answer["status"] != 409 and answer.get("state") is None
