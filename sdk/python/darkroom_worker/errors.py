"""What a model raises, and how an exception is told to the server."""
import os
import traceback
from types import TracebackType
from typing import Dict, Optional

MESSAGE_CHARS = 2000  # what the server keeps of a message
TRACEBACK_CHARS = 8000  # what it keeps of a traceback: its end
_OURS = (os.path.dirname(os.path.abspath(__file__)) + os.sep, "<frozen importlib")


class Reject(Exception):
    """This image can never be done: the job fails as `rejected`, with this message, and is not tried again."""


class Retry(Exception):
    """Try this image again, not before `after` seconds if given; it costs one attempt."""

    def __init__(self, message: str = "the model asked for another try", after: Optional[float] = None):
        super().__init__(message)
        self.after = after


class InvalidResult(Reject):
    """What the model returned cannot be a result; the message begins with the place in it."""


class Undecodable(Reject, ValueError):
    """The file is not an image that can be decoded."""


class Cancelled(BaseException):
    """The job is no longer ours, so whatever is computed for it is dropped. Do not catch it."""


class ModelError(Exception):
    """The model's module cannot be served as it is; the message says what to change in it."""


def explain(error: BaseException) -> Dict[str, Optional[str]]:
    """An exception as the API takes it: `type`, `message` and the end of its `traceback`."""
    trace = "".join(traceback.format_exception(type(error), error, _from_the_model(error)))
    return {"type": type(error).__name__, "message": clean(str(error))[:MESSAGE_CHARS],
            "traceback": clean(trace)[-TRACEBACK_CHARS:]}


def _from_the_model(error: BaseException) -> Optional[TracebackType]:
    """The error's traceback without the frames of this package before it: from the model's own code on. Where there are no others,
    the message of what is wrong with the model says it all; of anything else every frame counts."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace if trace is not None or isinstance(error, (SyntaxError, Reject, ModelError)) else error.__traceback__


def clean(string: str) -> str:
    """The same text with U+FFFD for what the server cannot keep: U+0000 and halves of surrogate pairs."""
    if string.isascii() and "\0" not in string:
        return string
    return string.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
