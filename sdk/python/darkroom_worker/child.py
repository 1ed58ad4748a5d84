"""The model's own process. It loads the model, then predicts what its parent sends, until its pipe closes.

Frames go over the first two descriptors, which are taken away from the model before it is imported: what it prints goes
to the third, and the parent passes that on.
"""
import faulthandler
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from typing import IO, Any, BinaryIO, Callable, Dict, List, Optional, Sequence, Set, Tuple, Type

from . import model
from .errors import Cancelled, clean, explain
from .image import Image
from .model import Outcome

Frame = Tuple[Dict[str, Any], bytes]
LENGTHS = struct.Struct(">II")  # of the message (JSON), and of the bytes that go with it
REPORT_EVERY_S = 0.1  # of one image: a model may report its progress thousands of times
ORPHAN_S = 2.0  # how long a model may go on when its parent is gone


def send(pipe: IO[bytes], message: Dict[str, Any], payload: bytes = b"", flush: bool = True) -> None:
    """Writes one frame."""
    encoded = json.dumps(message).encode()
    pipe.write(LENGTHS.pack(len(encoded), len(payload)) + encoded + payload)
    if flush:
        pipe.flush()


def receive(pipe: IO[bytes]) -> Optional[Frame]:
    """Reads one frame; None at the pipe's end."""
    head = pipe.read(LENGTHS.size)
    if len(head) < LENGTHS.size:
        return None
    length, more = LENGTHS.unpack(head)
    body = pipe.read(length + more)
    return (json.loads(body[:length]), body[length:]) if len(body) == length + more else None


class Child:
    """Serves one parent."""

    def __init__(self, orders: BinaryIO, answers: BinaryIO):
        self.orders, self.answers = orders, answers
        self.lock = threading.Lock()  # of `answers`: a model may report from threads of its own
        self.batches: "queue.SimpleQueue[Optional[Dict[str, Any]]]" = queue.SimpleQueue()
        self.cancelled: Set[str] = set()
        self.reported: Dict[str, float] = {}

    def tell(self, message: Dict[str, Any], payload: bytes = b"", flush: bool = True) -> None:
        with self.lock:
            send(self.answers, message, payload, flush)

    def listen(self) -> None:
        """The thread that reads: batches for the main thread, and what is cancelled meanwhile."""
        while True:
            frame = receive(self.orders)
            if frame is None:
                self.batches.put(None)
                time.sleep(ORPHAN_S)
                os._exit(1)
            message = frame[0]
            if "cancel" in message:
                self.cancelled.add(message["cancel"])
            else:
                self.batches.put(message)

    def serve(self, asked: Dict[str, Any]) -> int:
        """Loads the model, says so, and predicts. Returns the exit code."""
        try:
            loaded = model.load(asked["path"], name=asked["name"], version=asked["version"])
            loaded.init()
            about = loaded.about()
        except BaseException as error:
            self.tell({"failed": explain(error)})
            return 1
        return self.serve_batches({"ready": about}, lambda batch: self.predict(loaded, batch))

    def serve_batches(self, ready: Dict[str, Any], work: Callable[[Dict[str, Any]], None]) -> int:
        """Says that it is ready, and does what it is sent until there is no more. Returns the exit code."""
        self.tell(ready)
        threading.Thread(target=self.listen, daemon=True).start()
        while True:
            batch = self.batches.get()
            if batch is None:
                return 0
            work(batch)

    def predict(self, loaded: model.Model, batch: Dict[str, Any]) -> None:
        images = [self.image(task) for task in batch["tasks"]]

        def starts(indexes: Sequence[int]) -> None:
            self.tell({"starts": list(indexes)})
        for index, outcome in loaded.run(images, batch["max_bytes"], starts):
            self.tell(*_done(index, outcome), flush=False)  # what one call brought goes with the start of the next
        self.tell({"end": True, "batch_error": loaded.batch_error})
        for task in batch["tasks"]:
            self.cancelled.discard(task["key"])
            self.reported.pop(task["key"], None)

    def image(self, task: Dict[str, Any]) -> Image:
        key = task["key"]
        size = task["size"] and (task["size"][0], task["size"][1])

        def report(fraction: Optional[float], note: Optional[str]) -> None:
            self.report(key, fraction, note)
        return Image(task["path"], md5=task["md5"], size=size, media_type=task["media_type"], params=task["params"],
                     report=report)

    def report(self, key: str, fraction: Optional[float], note: Optional[str]) -> None:
        if key in self.cancelled:
            raise Cancelled("job %s is no longer ours" % key)
        now = time.monotonic()
        if now - self.reported.get(key, -1.0) >= REPORT_EVERY_S:
            self.reported[key] = now
            fraction = None if fraction is None else min(1.0, max(0.0, float(fraction)))
            self.tell({"progress": [key, fraction, None if note is None else clean(str(note))[:500]]})


def _done(index: int, outcome: Outcome) -> Frame:
    told = {"done": index, "kind": outcome.kind, "error": outcome.error, "after": outcome.after, "s": outcome.duration_s}
    return told, outcome.result or b""


def main(arguments: List[str]) -> int:
    """`arguments`: the model's path, name and version as one JSON object."""
    return begin(arguments, Child)


def begin(arguments: List[str], kind: Type[Child]) -> int:
    """Takes the first two descriptors away from the module, and serves."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to judge
    faulthandler.enable()
    asked = json.loads(arguments[0])
    sys.argv = [asked["path"]]
    return kind(orders, answers).serve(asked)
