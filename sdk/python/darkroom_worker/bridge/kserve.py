"""KServe and Triton, the open inference protocol v2: `POST /v2/models/{m}/infer` with the image as an element of type BYTES."""
import json
import struct
import urllib.parse
from typing import Any, Dict, List, Optional

from .client import BadAnswer, NotReady
from .protocol import About, Call, Protocol, fetch, fetch_object, is_object


class KServe(Protocol):
    """`field` names the input, where there are several of type BYTES; the outputs become fields."""

    IMAGES = ("base64", "binary")  # text in the JSON, or the bytes themselves behind it

    _input: Dict[str, Any] = {}
    _pinned = ""  # where the version stands that results are kept under, if the server names any

    @property
    def _model(self) -> str:
        return "/v2/models/" + urllib.parse.quote(str(self.options.model), safe="")

    def ready(self) -> None:
        """The server is, and this model in it."""
        fetch(self.client, "/v2/health/ready")
        fetch(self.client, self._model + "/ready")

    def about(self) -> About:
        """The version is the newest that the server names."""
        told = fetch_object(self.client, self._model)
        inputs = [entry for entry in told.get("inputs") or [] if isinstance(entry, dict)]
        able = [entry for entry in inputs if entry.get("datatype") == "BYTES" and self.options.field in (None, entry.get("name"))]
        if len(able) != 1 or _shape(able[0]) is None:
            raise NotReady("%s%s takes %s: the image needs one input of type BYTES for one element%s" % (
                self.client.url, self._model, ", ".join(map(_words, inputs)) or "nothing",
                "; say which with --field" if len(able) > 1 else ""))
        self._input = {"name": able[0].get("name"), "datatype": "BYTES", "shape": _shape(able[0])}
        versions = [str(version) for version in told.get("versions") or []]
        newest, platform = max(versions, key=_newer, default=None), told.get("platform")
        if newest and not self._pinned:  # another one is another registration
            self._pinned = "/versions/" + urllib.parse.quote(newest, safe="")
        return About(newest, platform if isinstance(platform, str) and platform else None)

    def predict(self, call: Call) -> Any:
        """The outputs by their names; one that is a single text of JSON is that JSON."""
        headers = {"Content-Type": "application/json"}
        asked: Dict[str, Any] = {"id": call.key, "inputs": [self._input]}
        if call.params:
            asked["parameters"] = call.params
        if self.image == "binary":
            data = call.read()
            asked["inputs"] = [{**self._input, "parameters": {"binary_data_size": len(data) + 4}}]
            head = json.dumps(asked).encode()
            headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
            body = head + struct.pack("<I", len(data)) + data
        else:
            asked["inputs"] = [{**self._input, "parameters": {"content_type": "base64"}, "data": [call.base64()]}]
            body = json.dumps(asked).encode()
        answer = self.client.ask("POST", self._model + self._pinned + "/infer", body, headers, limit_s=call.left_s(), key=call.key).good()
        told = is_object(answer.json(), "the answer of " + answer.asked)
        if not isinstance(told.get("outputs"), list):
            raise BadAnswer("%s: the answer has no outputs: %s" % (answer.asked, answer.text()))
        return _document([is_object(output, "an output") for output in told["outputs"]])


def _document(outputs: List[Dict[str, Any]]) -> Any:
    fields: Dict[str, Any] = {}
    for output in outputs:
        if not isinstance(output.get("name"), str) or not isinstance(output.get("data"), list):
            raise BadAnswer("an output without name or data: %s" % repr(output)[:200])
        fields[output["name"]] = _value(output)
    only = next(iter(fields.values())) if len(fields) == 1 else None
    return only if isinstance(only, (dict, list)) and outputs[0].get("datatype") == "BYTES" and not _many(outputs[0]) else fields


def _many(output: Dict[str, Any]) -> bool:
    return len(output["data"]) != 1


def _value(output: Dict[str, Any]) -> Any:
    """A tensor as nested lists without the outer dimensions of 1; a single element as itself."""
    data = [_text(element) for element in output["data"]] if output.get("datatype") == "BYTES" else output["data"]
    if len(data) == 1 and not isinstance(data[0], list):
        return data[0]
    told = output.get("shape")
    shape: List[Any] = told if isinstance(told, list) else []
    while shape and shape[0] == 1:
        shape = shape[1:]
        if len(data) == 1 and isinstance(data[0], list):  # was sent nested
            data = data[0]
    for size in reversed(shape[1:]):
        if not isinstance(size, int) or size < 1 or len(data) % size or any(isinstance(element, list) for element in data):
            break
        data = [data[at:at + size] for at in range(0, len(data), size)]
    return data


def _text(element: Any) -> Any:
    """An element of type BYTES; JSON in it is read."""
    if isinstance(element, str) and element[:1] in ("{", "["):
        try:
            return json.loads(element)
        except (ValueError, RecursionError):
            pass
    return element


def _shape(entry: Dict[str, Any]) -> Optional[List[int]]:
    """The input's shape with one element; None if it takes no single one."""
    shape = entry.get("shape")
    return [1 for _ in shape] if isinstance(shape, list) and shape and all(size in (-1, 1) for size in shape) else None


def _words(entry: Dict[str, Any]) -> str:
    return "%s (%s %s)" % (entry.get("name"), entry.get("datatype"), entry.get("shape"))


def _newer(version: str) -> Any:
    return (int(version), "") if version.isdigit() else (-1, version)
