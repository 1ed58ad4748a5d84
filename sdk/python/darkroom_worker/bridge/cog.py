"""Cog: `PUT /predictions/{id}` with the image as a data URI, `GET /health-check`, `GET /openapi.json`."""
import hashlib
import json
import re
from typing import Any, Dict, Optional

from ..errors import Reject
from .client import BadAnswer, NotReady, ServerError
from .protocol import About, Call, Protocol, fetch_object, is_object

SERVING = ("READY", "BUSY")  # of the states that /health-check knows
USUAL = ("image", "img", "input_image", "image_path", "photo", "picture", "file")  # names that inputs for an image have
BUSY_S = (0.05, 2.0)  # the first and the longest pause before a busy server is asked again
DEPTH_MAX = 16  # of references in a schema
ABANDON_S = 5.0


class Cog(Protocol):
    """`field` names the input that takes the image; where it is not given, the server's schema tells."""

    _field: Optional[str] = None

    def ready(self) -> None:
        """It is in the states READY and BUSY."""
        health = fetch_object(self.client, "/health-check")
        if health.get("status") not in SERVING:
            setup = health.get("setup")
            why = health.get("user_healthcheck_error") or (setup.get("logs") if isinstance(setup, dict) else None) or ""
            raise NotReady(("%s is %s. %s" % (self.client.url, health.get("status"), str(why)[-1000:])).strip())

    def about(self) -> About:
        """The version is a hash of what the model takes and gives: two models with the same schema look alike. A server that
        was built without a schema is served all the same if `field` is said."""
        try:
            document = fetch_object(self.client, "/openapi.json")
        except NotReady as error:
            if self.options.field:
                return About()
            raise NotReady("%s: without a schema, say with --field which input takes the image" % error) from error
        schemas = _at(document, "components", "schemas")
        takes, gives = schemas.get("Input"), schemas.get("Output")
        if not isinstance(takes, dict) or not isinstance(takes.get("properties"), dict):
            raise NotReady("%s/openapi.json has no schema Input: this is no Cog model" % self.client.url)
        self._field = self.options.field or _image_field(takes["properties"], self.client.url)
        told = json.dumps([_resolved(takes, schemas), _resolved(gives, schemas)], sort_keys=True)
        return About("schema-" + hashlib.sha256(told.encode()).hexdigest()[:12], None, self._params(takes, schemas))

    def _params(self, takes: Dict[str, Any], schemas: Dict[str, Any]) -> Dict[str, Any]:
        others = {name: _resolved(schema, schemas) for name, schema in takes["properties"].items() if name != self._field}
        required = [name for name in takes.get("required") or [] if name in others]
        return {"type": "object", "properties": others, "additionalProperties": False, **({"required": required} if required else {})}

    def predict(self, call: Call) -> Any:
        """The `output` of a prediction that succeeded. A busy server (409) is asked again while there is time."""
        field = str(self._field or self.options.field)
        body = json.dumps({"input": {**call.params, field: call.data_uri()}}).encode()
        path, pause_s = "/predictions/" + _id(call), BUSY_S[0]
        while True:
            answer = self.client.ask("PUT", path, body, {"Content-Type": "application/json"}, limit_s=call.left_s(), key=call.key)
            if answer.status != 409:
                break
            if call.left_s() <= pause_s:
                raise ServerError("%s: it was busy all the time" % answer.asked, 409)
            if call.cancelled.wait(pause_s):
                raise ServerError("no longer wanted")
            pause_s = min(2 * pause_s, BUSY_S[1])
        told = is_object(answer.good().json(), "the answer of " + answer.asked)
        if told.get("status") == "succeeded":
            return told.get("output")
        if told.get("status") in ("failed", "canceled"):
            raise ServerError("the prediction is %s: %s" % (told["status"], str(told.get("error"))[:2000]))
        raise BadAnswer("%s: the prediction is %s" % (answer.asked, repr(told.get("status"))[:100]))

    def abandon(self, call: Call) -> None:
        """Cancels the prediction, which would keep the server busy."""
        try:
            self.client.ask("POST", "/predictions/%s/cancel" % _id(call), limit_s=ABANDON_S)
        except (NotReady, ServerError, Reject):
            pass  # it shows in what the server is asked next


def _id(call: Call) -> str:
    """A prediction's name: another for each lease of a job."""
    return re.sub(r"[^A-Za-z0-9-]", "-", call.key)


def _image_field(properties: Dict[str, Any], url: str) -> str:
    files = [name for name, schema in properties.items() if isinstance(schema, dict) and schema.get("format") == "uri"]
    usual = [name for name in USUAL if name in (files or properties)]
    if len(files) == 1 or usual:
        return files[0] if len(files) == 1 else usual[0]
    raise NotReady("%s has the inputs %s: say with --field which takes the image" % (url, ", ".join(properties) or "none"))


def _at(document: Dict[str, Any], *names: str) -> Dict[str, Any]:
    for name in names:
        found = document.get(name)
        document = found if isinstance(found, dict) else {}
    return document


def _resolved(schema: Any, schemas: Dict[str, Any], depth: int = 0) -> Any:
    """A schema with what it refers to in its place."""
    if depth > DEPTH_MAX:
        return {}
    if isinstance(schema, list):
        return [_resolved(item, schemas, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema.get("$ref")
    if isinstance(name, str):
        return _resolved(schemas.get(name.rsplit("/", 1)[-1], {}), schemas, depth + 1)
    return {key: _resolved(value, schemas, depth + 1) for key, value in schema.items() if not key.startswith("x-")}
