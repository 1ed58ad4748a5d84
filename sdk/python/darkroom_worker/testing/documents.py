"""Result documents: brought into the one shape `{"items": [], "fields": {}, "summary": null}`, or refused with the place."""
from __future__ import annotations

import json
import unicodedata
from typing import Any, Callable, Dict, List, Tuple

from .problems import Fault
from .read import check_free

ITEMS_MAX, FIELDS_MAX = 10_000, 1_000
SUMMARY_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX, HASH_CHARS_MAX = 1_000, 200, 10_000, 256
POINTS_MAX, DIMENSIONS_MAX = 1_000, 4_096
TURNING = {chr(code) for first, last in ((0x2028, 0x202E), (0x2066, 0x2069)) for code in range(first, last + 1)}  # they turn what is read


def normalise(posted: Any, bytes_max: int, upright: Tuple[int, int]) -> Dict[str, Any]:
    """The document that is kept of what a worker posted; `upright` is the image's width and height as people see it, in pixels."""
    size = len(json.dumps(posted, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > bytes_max:
        raise Fault("result_too_large", "The result has %d bytes of JSON; the limit is %d." % (size, bytes_max), "")
    check_free(posted)
    if isinstance(posted, dict) and posted and set(posted) <= {"items", "fields", "summary"}:
        return _document(posted, upright)
    if isinstance(posted, dict) and posted and set(posted) <= {"classes", "result"}:
        return _upstream(posted)
    return {"items": [], "fields": {"value": posted}, "summary": None}


def _document(posted: Dict[str, Any], upright: Tuple[int, int]) -> Dict[str, Any]:
    items = []
    for place, item in enumerate(_list(posted.get("items"), "/items")):
        try:
            items.append(_item(item, upright))
        except Fault as fault:
            at = "/items/%d" % place
            fault.detail = at + fault.detail[len("This") if not fault.pointers[0] else 0:]
            raise fault.under(at)
    fields = _fields(posted.get("fields"), "/fields")
    summary = posted.get("summary")
    if summary is not None and not _is_text(summary, SUMMARY_CHARS_MAX):
        raise _invalid("/summary", "a text of at most %d characters" % SUMMARY_CHARS_MAX)
    return {"items": items, "fields": fields, "summary": summary}


def _upstream(posted: Dict[str, Any]) -> Dict[str, Any]:
    classes = _list(posted.get("classes"), "/classes")
    for place, name in enumerate(classes):
        if not _is_name(name):
            raise _invalid("/classes/%d" % place, "a line of 1 to %d characters" % NAME_CHARS_MAX)
    said = posted.get("result")
    fields = _fields(said, "/result") if said is None or isinstance(said, dict) else {"value": said}
    return {"items": [{"type": "label", "label": name} for name in classes], "fields": fields, "summary": None}


def _fields(fields: Any, at: str) -> Dict[str, Any]:
    fields = {} if fields is None else fields
    if not isinstance(fields, dict) or len(fields) > FIELDS_MAX:
        raise _invalid(at, "an object of at most %d fields" % FIELDS_MAX)
    for name in fields:
        if not _is_name(name):
            raise _invalid("%s/%s" % (at, name.replace("~", "~0").replace("/", "~1")), "a line of 1 to %d characters" % NAME_CHARS_MAX)
    return dict(fields)


def _list(value: Any, at: str) -> List[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise _invalid(at, "a list of at most %d items" % ITEMS_MAX)
    return value


def _item(item: Any, upright: Tuple[int, int]) -> Dict[str, Any]:
    """An item in fractions. Every member that its type gives a meaning to is checked; of a type that is not known nothing is."""
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        raise _invalid("", "an object with a text `type`")
    kind: str = item["type"]
    if kind not in MEMBERS:
        return dict(item)
    item = _fractions(dict(item), upright)
    for member in ("box", "polygon", "points") + MEMBERS[kind]:
        holds, what = CHECKS[member]
        needed = member == kind or (member, kind) in NEEDED
        if (needed or item.get(member) is not None) and not holds(item.get(member)):
            raise _invalid("/" + member, what)
    if kind == "embedding" and item.get("dim") not in (None, len(item["values"])):
        raise _invalid("/dim", "%d, as many as there are values" % len(item["values"]))
    return dict(item)


def _fractions(item: Dict[str, Any], upright: Tuple[int, int]) -> Dict[str, Any]:
    if item.get("unit") is None:
        return item
    if item["unit"] != "px":
        raise _invalid("/unit", '"px"; without a unit, places are fractions of the upright image')
    item = {name: value for name, value in item.items() if name != "unit"}
    if _are_numbers(item.get("box"), 4):
        item["box"] = _converted("box", item["box"], upright)
    for member in ("polygon", "points"):
        points = item.get(member)
        if isinstance(points, list) and all(_are_numbers(point, 2) for point in points):
            item[member] = [_converted(member, point, upright) for point in points]
    return item


def _converted(member: str, pixels: List[float], upright: Tuple[int, int]) -> List[float]:
    sides = [upright[place % 2] for place in range(len(pixels))]
    if not all(0 <= at <= side for at, side in zip(pixels, sides)):
        raise _invalid("/" + member, "within the %d × %d pixels of the upright image" % upright)
    return [at / side for at, side in zip(pixels, sides)]


def _invalid(pointer: str, what: str) -> Fault:
    return Fault("invalid_result", "%s is not %s." % (pointer or "This", what), pointer)


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_name(value: Any) -> bool:
    plain = isinstance(value, str) and not any(unicodedata.category(c) == "Cc" or c in TURNING for c in value)
    return plain and 1 <= len(value) <= NAME_CHARS_MAX


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_number, value))


def _is_inside(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_box(value: Any) -> bool:
    return _are_numbers(value, 4) and value[0] < value[2] and value[1] < value[3] and all(map(_is_inside, value))


def _are_points(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= POINTS_MAX and all(_are_numbers(point, 2) and all(map(_is_inside, point)) for point in value)


def _are_values(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= DIMENSIONS_MAX and all(map(_is_number, value))


NAME = (_is_name, "a line of 1 to %d characters" % NAME_CHARS_MAX)
POINTS = (_are_points, "1 to %d points [x, y] in fractions 0…1 of the upright image" % POINTS_MAX)
CHECKS: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    "box": (_is_box, "[x0, y0, x1, y1] in fractions 0…1 of the upright image with x0 < x1 and y0 < y1"),
    "polygon": POINTS, "points": POINTS, "label": NAME, "algo": NAME, "space": NAME, "name": NAME, "media_type": NAME,
    "score": (_is_inside, "a number 0…1 or null"),
    "text": (lambda value: _is_text(value, TEXT_CHARS_MAX), "a text of at most %d characters" % TEXT_CHARS_MAX),
    "value": (lambda value: _is_text(value, HASH_CHARS_MAX), "a text of at most %d characters" % HASH_CHARS_MAX),
    "values": (_are_values, "1 to %d numbers" % DIMENSIONS_MAX),
}
# what else is looked at of each type, in this order; and what must be there, besides the member that is called as the type
MEMBERS: Dict[str, Tuple[str, ...]] = {
    "box": ("label", "score"), "label": ("label", "score"), "points": ("label", "score"), "text": ("label", "score", "text"),
    "hash": ("label", "score", "algo", "value"), "embedding": ("label", "score", "space", "values"), "file": ("label", "score", "name", "media_type"),
}
NEEDED = {("algo", "hash"), ("value", "hash"), ("space", "embedding"), ("values", "embedding"), ("name", "file")}
