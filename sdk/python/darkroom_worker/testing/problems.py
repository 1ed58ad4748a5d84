"""Problem documents (RFC 9457), as the server words them."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

# code: (status, title, what to do)
CODES: Dict[str, Any] = {
    "malformed_json": (400, "Malformed JSON", "Send one JSON text (RFC 8259) in UTF-8. NaN, Infinity and trailing commas are not JSON."),
    "body_cut_off": (400, "Body cut off", "Send the request again, whole and without long pauses."),
    "missing_credential": (401, "Missing credential", "Send `Authorization: Bearer` with an API key."),
    "unknown_credential": (401, "Unknown credential", "Ask for a new key. A key must be sent whole."),
    "disabled_credential": (401, "Disabled credential", "Ask an administrator for a new key."),
    "wrong_service": (403, "Wrong service type", "Use an API key of the right service type."),
    "out_of_scope": (403, "Model out of scope", "Use a key whose globs match the model."),
    "not_found": (404, "Not found", "Check the name or id."),
    "method_not_allowed": (405, "Method not allowed", "Use a method that this path has."),
    "stale_lease": (409, "Stale lease", "Drop the work and claim again; somebody else has this job, or it has ended."),
    "retired_model": (409, "Model retired", "Stop this worker, or bring the model back."),
    "unknown_worker": (410, "Unknown worker", "Register again with POST /workers/register."),
    "too_large": (413, "Too large", "Send less at once, within the limit that the detail names."),
    "result_too_large": (413, "Result too large", "Keep the result within `max_result_bytes`."),
    "unsupported_media_type": (415, "Unsupported media type", "Send Content-Type: application/json."),
    "range_not_satisfiable": (416, "Range not satisfiable", "Ask for bytes within the image, or leave the Range header out."),
    "invalid_field": (422, "Invalid field", "Correct the field that `errors` points to."),
    "unknown_field": (422, "Unknown field", "Check its spelling, or leave it out."),
    "duplicate_key": (422, "Duplicate key", "Give each key and field once."),
    "nul_character": (422, "NUL character", "Remove U+0000 from the text."),
    "too_deep": (422, "JSON too deep", "Nest arrays and objects less deeply."),
    "invalid_hash": (422, "Invalid hash", "Send the MD5 of the image's bytes: 32 hexadecimal digits."),
    "invalid_result": (422, "Invalid result", 'Return `{"items": [], "fields": {}, "summary": null}`, with what `errors` points to corrected.'),
    "too_many_requests": (429, "Too many requests", "Wait as long as Retry-After says, then send it again."),
    "internal": (500, "Internal error", "Give the operator the `request_id`."),
    "unavailable": (503, "Unavailable", "Send it again as Retry-After says."),
}


class Fault(Exception):
    """What is wrong with a request or an item: a code of `CODES`, what happened, and where."""

    def __init__(self, code: str, detail: str, pointer: Optional[str] = None, place: str = "body") -> None:
        super().__init__("%s: %s" % (code, detail))
        self.code, self.detail, self.place = code, detail, place
        self.pointers: List[str] = [] if pointer is None else [pointer]
        self.retry_after_s: Optional[int] = None

    @property
    def status(self) -> int:
        return int(CODES[self.code][0])

    def under(self, pointer: str) -> "Fault":
        """Puts the places that it names under this one."""
        self.pointers = [pointer + inner for inner in self.pointers]
        return self

    def document(self, request_id: Optional[str] = None) -> Dict[str, Any]:
        """The problem document; within a batch the items' have no `request_id`."""
        status, title, mend = CODES[self.code]
        errors = [{"in": self.place, "pointer": at, "code": self.code, "detail": self.detail} for at in self.pointers]
        return {"type": "/problems/" + self.code, "title": title, "status": status, "code": self.code,
                "detail": self.detail, "mend": mend, "errors": errors, "request_id": request_id}
