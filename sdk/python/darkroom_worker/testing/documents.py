"""Result documents: brought into the one shape `{"items": [], "fields": {}, "summary": null}`, or refused with the place."""
from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from .problems import Fault
from .read import check_free

ITEMS_MAX = 10_000  # the most items of one result
SUMMARY_CHARS_MAX = 1000


def normalise(posted: Any, bytes_max: int, width: int, height: int) -> Dict[str, Any]:
    """The document that is kept of what a worker posted; `width` and `height` are the upright image's, in pixels."""
    size = len(json.dumps(posted, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > bytes_max:
        raise Fault("result_too_large", "The result has %d bytes of JSON; the limit is %d." % (size, bytes_max), "")
    check_free(posted)
    if isinstance(posted, dict) and posted and set(posted) <= {"items", "fields", "summary"}:
        return _document(posted, width, height)
    if isinstance(posted, dict) and posted and set(posted) <= {"classes", "result"}:
        labels = [{"type": "label", "label": name} for name in _list(posted.get("classes"), "/classes")]
        said = posted.get("result") if posted.get("result") is not None else {}
        return _document({"items": labels, "fields": said if isinstance(said, dict) else {"value": said}}, width, height)
    return {"items": [], "fields": {"value": posted}, "summary": None}


def _document(posted: Dict[str, Any], width: int, height: int) -> Dict[str, Any]:
    items = _list(posted.get("items"), "/items")
    kept = [_item(item, "/items/%d" % place, width, height) for place, item in enumerate(items)]
    fields = posted.get("fields") if posted.get("fields") is not None else {}
    if not isinstance(fields, dict):
        raise Fault("invalid_result", "/fields is not an object.", "/fields")
    summary = posted.get("summary")
    if summary is not None and (not isinstance(summary, str) or len(summary) > SUMMARY_CHARS_MAX):
        raise Fault("invalid_result", "/summary is not a text of at most %d characters." % SUMMARY_CHARS_MAX, "/summary")
    return {"items": kept, "fields": dict(fields), "summary": summary}


def _list(value: Any, at: str) -> List[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise Fault("invalid_result", "%s is not a list of at most %d items." % (at, ITEMS_MAX), at)
    return value


def _item(item: Any, at: str, width: int, height: int) -> Dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        raise Fault("invalid_result", "%s is not an object with a text `type`." % at, at)
    if item["type"] != "box":
        return dict(item)
    corners = _corners(item, width, height)
    if corners is None:
        raise Fault("invalid_result", "%s/box is not [x0, y0, x1, y1] in fractions 0…1 of the upright image with x0 < x1 and y0 < y1." % at, at + "/box")
    return dict(item, box=corners)


def _corners(item: Dict[str, Any], width: int, height: int) -> Optional[List[float]]:
    corners = item.get("box")
    if not isinstance(corners, list) or len(corners) != 4:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in corners):
        return None
    x0, y0, x1, y1 = corners
    good = x0 < x1 and y0 < y1 and all(0 <= v <= 1 for v in corners)
    return corners if good else None
