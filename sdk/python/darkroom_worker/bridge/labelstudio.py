"""Label Studio ML backends: `POST /predict` with one task, `GET /health`, `POST /setup` for the version.

The image goes as an address on this machine, because the backends' own `get_local_path` and most examples fetch it; a data
URI is for those that read `task["data"]` themselves.
"""
import json
import re
from typing import Any, Dict, Optional

from ..errors import Reject
from .client import Answer, BadAnswer, Client, NotReady
from .images import Images, host_port
from .protocol import READY_LIMIT_S, About, Call, Options, Protocol, fetch_object, is_object
from .regions import document

PROJECT = "1.0"  # backends want one, and take what stands before the point for its number


class LabelStudio(Protocol):
    """`field` names the task's entry for the image; else the labelling configuration tells, or it is `image`."""

    IMAGES = ("url", "data")

    _images: Optional[Images] = None

    def __init__(self, client: Client, options: Options):
        super().__init__(client, options)
        host_port(options.images_at)

    def ready(self) -> None:
        """It is if /health says UP."""
        health = fetch_object(self.client, "/health")
        if health.get("status") != "UP":
            raise NotReady("%s is %s" % (self.client.url, repr(health.get("status"))[:100]))

    def about(self) -> About:
        """What the backend answers when a project is set up; older and newer ones name a version there."""
        if self.image == "url" and self._images is None:
            self._images = Images(self.options.images_at)
        health = fetch_object(self.client, "/health")
        kind = health.get("model_class")
        return About(self._version(), kind if isinstance(kind, str) else None)

    def _version(self) -> Optional[str]:
        answer = self._post("/setup", {"project": PROJECT, "schema": self.options.label_config, "hostname": "", "access_token": ""})
        try:
            version = is_object(answer.good().json(), "the answer of /setup").get("model_version")
        except (Reject, NotReady):  # it does without
            return None
        return str(version) if version and version != "INITIAL" else None

    def _post(self, path: str, body: Any, call: Optional[Call] = None) -> Answer:
        return self.client.ask("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"},
                               limit_s=call.left_s() if call else READY_LIMIT_S, key=call.key if call else None)

    def predict(self, call: Call) -> Any:
        """The regions of the one prediction as items."""
        where = self._images.put(call) if self._images is not None else call.data_uri()
        task = {"id": 1, "data": {self._field(): where}}
        try:
            answer = self._post("/predict", {"tasks": [task], "project": PROJECT, "label_config": self.options.label_config,
                                             "params": {"context": call.params or None}}, call).good()
        finally:
            if self._images is not None:
                self._images.drop(where)
        told = is_object(answer.json(), "the answer of " + answer.asked)
        found = told.get("results", told.get("predictions"))
        if not isinstance(found, list):
            raise BadAnswer("%s: the answer has no results: %s" % (answer.asked, answer.text()))
        return document(_first(found))

    def _field(self) -> str:
        named = re.search(r'<Image\b[^>]*\bvalue\s*=\s*"\$([^"]+)"', self.options.label_config or "")
        return self.options.field or (named.group(1) if named else "image")

    def close(self) -> None:
        """Serves no image any more."""
        if self._images is not None:
            self._images.close()


def _first(found: Any) -> Dict[str, Any]:
    """The prediction for the one task; some backends wrap it in a list, some answer none."""
    while isinstance(found, list):
        if not found:
            return {"result": []}
        found = found[0]
    return is_object(found, "the prediction")
