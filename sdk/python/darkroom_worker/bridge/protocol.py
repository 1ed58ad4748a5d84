"""What a protocol has to know: when its server is ready, what it says of itself, and how an image is asked about."""
import base64
import threading
import time
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..errors import Reject
from ..files import EXTENSIONS
from ..process import Task
from .client import Answer, BadAnswer, Client, NotReady, ServerError

READY_LIMIT_S = 10.0  # the longest that a server may take to say that it is ready, or what it is


class Options(NamedTuple):
    """What the command line says of a server; each protocol reads what concerns it."""

    field: Optional[str] = None  # the name of the input that takes the image
    model: Optional[str] = None  # the model's name on that server
    image: Optional[str] = None  # how the image goes: one of the protocol's IMAGES
    images_at: str = "127.0.0.1:0"  # where images are served, if they go as addresses
    label_config: Optional[str] = None  # the labelling configuration, as XML


class About(NamedTuple):
    """What a server says of its model; None where it says nothing."""

    version: Optional[str] = None
    description: Optional[str] = None
    params_schema: Optional[Dict[str, Any]] = None


class Call:
    """One image on its way to the server."""

    def __init__(self, task: Task):
        self.key, self.params, self.path = task.key, task.params, task.path
        self.media_type = task.media_type or "application/octet-stream"
        self.name = (task.md5 or "image") + EXTENSIONS.get(self.media_type, "")
        self.until = time.monotonic() + (3600.0 if task.limit_s is None else task.limit_s)
        self.cancelled = threading.Event()

    def read(self) -> bytes:
        """The file's bytes."""
        with open(self.path, "rb") as file:
            return file.read()

    def base64(self) -> str:
        """The same as text."""
        return base64.b64encode(self.read()).decode()

    def data_uri(self) -> str:
        """The same as an address that holds it."""
        return "data:%s;base64,%s" % (self.media_type, self.base64())

    def left_s(self) -> float:
        """The seconds that are left for it."""
        return max(0.05, self.until - time.monotonic())


class Protocol:
    """One server that is spoken to in one way."""

    IMAGES: Tuple[str, ...] = ("",)  # the ways in which the image may go, the usual one first

    def __init__(self, client: Client, options: Options):
        self.client, self.options = client, options
        self.image = options.image or self.IMAGES[0]

    def ready(self) -> None:
        """Raises `NotReady` if the server is not."""
        raise NotImplementedError

    def about(self) -> About:
        """Asks what the model is. Raises `NotReady`, also when it is no model for images."""
        return About()

    def predict(self, call: Call) -> Any:
        """What the server makes of the image, as a model might return it. Raises `Reject`, `NotReady`, `ServerError`."""
        raise NotImplementedError

    def abandon(self, call: Call) -> None:
        """Nobody waits for this image any more; tells the server, if it can be told."""

    def close(self) -> None:
        """Nothing more will be asked."""


def is_object(value: Any, what: str) -> Dict[str, Any]:
    """The value, which must be a JSON object. Raises `BadAnswer` with what it is instead."""
    if isinstance(value, dict):
        return value
    raise BadAnswer("%s is %s, not an object" % (what, repr(value)[:100]))


def fetch(client: Client, path: str) -> Answer:
    """What a page about the server says. Raises `NotReady` for anything but a success."""
    try:
        return client.ask("GET", path, limit_s=READY_LIMIT_S).good()
    except (Reject, ServerError) as error:
        raise NotReady(client.url + ", " + str(error)) from error


def fetch_object(client: Client, path: str) -> Dict[str, Any]:
    """The same, as the JSON object that it must be."""
    try:
        return is_object(fetch(client, path).json(), "GET " + path)
    except BadAnswer as error:
        raise NotReady(client.url + ", " + str(error)) from error
