"""Plain microservices: `POST /predict` with the image as a file of a form, `GET /status` says whether it is ready."""
import json
import secrets
from typing import Any, List

from .client import ServerError
from .protocol import Call, Protocol, fetch

FIELD = "image_file"
FAILURES = ("failure", "failed", "error")


class Multipart(Protocol):
    """`field` names the file; parameters go as further fields of the form."""

    def ready(self) -> None:
        """It is if /status answers with a success."""
        fetch(self.client, "/status")

    def predict(self, call: Call) -> Any:
        """The answer's `result`, or the whole answer if it has none."""
        edge = secrets.token_hex(16)
        headers = {"Content-Type": "multipart/form-data; boundary=" + edge, "Accept": "application/json"}
        answer = self.client.ask("POST", "/predict", self._form(call, edge), headers, limit_s=call.left_s(), key=call.key).good()
        told = answer.json()
        if not isinstance(told, dict):
            return told
        if told.get("status") in FAILURES and not told.get("result"):
            raise ServerError("%s: %s" % (answer.asked, answer.text()))
        if "result" not in told:
            return told
        if "classes" in told:
            return {"classes": told["classes"], "result": told["result"]}
        return told["result"]

    def _form(self, call: Call, edge: str) -> bytes:
        field, parts = self.options.field or FIELD, []  # type: str, List[bytes]
        for name, value in call.params.items():
            if name == field:
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            parts.append(_head(edge, _quoted(name)) + text.encode("utf-8", "replace"))
        parts.append(_head(edge, _quoted(field), '; filename="%s"\r\nContent-Type: %s'
                           % (call.name, call.media_type)) + call.read())
        return b"\r\n".join(parts) + b"\r\n--%s--\r\n" % edge.encode()


def _head(edge: str, name: str, more: str = "") -> bytes:
    return ('--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n' % (edge, name, more)).encode()


def _quoted(name: str) -> str:
    """A field's name as browsers write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
