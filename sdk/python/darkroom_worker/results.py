"""Results: helpers that build items, and what a model may return made into the one document."""
import base64
import dataclasses
import datetime
import enum
import json
import math
import os
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from .errors import InvalidResult, clean

Json = Dict[str, Any]
DEPTH_MAX = 24  # levels of nesting; the server takes 32, its own included
SUMMARY_CHARS = 1000  # the longest summary that the server takes
DOCUMENT = frozenset({"items", "fields", "summary"})
UPSTREAM = frozenset({"classes", "result"})


def box(x0: float, y0: float, x1: float, y1: float, label: Optional[str] = None, score: Optional[float] = None, *,
        of: Any = None, **attrs: Any) -> Json:
    """Something found, and where: fractions of the upright image, or its pixels with `of=image`, cut at the image's edge.

    `of` may also be a PIL image, a numpy array or (width, height). Other keywords are kept as the item's `attrs`.
    """
    corners = [_inside(x0, y0, of), _inside(x1, y1, of)]
    xs, ys = sorted(corner[0] for corner in corners), sorted(corner[1] for corner in corners)
    if xs[0] == xs[1] or ys[0] == ys[1]:
        raise InvalidResult("box(%s, %s, %s, %s) has no area inside the image" % (x0, y0, x1, y1))
    return _item("box", box=[xs[0], ys[0], xs[1], ys[1]], label=_name(label), score=score, attrs=attrs or None)


def label(name: str, score: Optional[float] = None, **attrs: Any) -> Json:
    """What the whole image shows; `score` is usually 0 to 1."""
    return _item("label", label=_name(name), score=score, attrs=attrs or None)


def text(s: str, score: Optional[float] = None, polygon: Optional[Iterable[Sequence[float]]] = None, *,
         of: Any = None) -> Json:
    """Text that was read, and the corners around it (as in `box`)."""
    corners = None if polygon is None else [_inside(p[0], p[1], of) for p in polygon]
    return _item("text", text=s, score=score, polygon=corners)


def embedding(values: Iterable[float], space: str) -> Json:
    """A vector; only those of the same `space` may be compared, so name the model and its version in it."""
    numbers = [float(value) for value in values]
    return _item("embedding", space=space, dim=len(numbers), values=numbers)


def hash_(value: str, algo: str) -> Json:
    """A hash by the algorithm `algo`, such as `phash64`."""
    return _item("hash", algo=algo, value=str(value))


def points(list: Iterable[Sequence[float]], label: Optional[str] = None, *, of: Any = None) -> Json:
    """Points (as in `box`), such as the eyes of a face."""
    return _item("points", points=[_inside(p[0], p[1], of) for p in list], label=_name(label))


def document(value: Any) -> Json:
    """What a model returned, as `{"items": […], "fields": {…}, "summary": …}`. Raises `InvalidResult` naming the place."""
    value = plain(value)
    if isinstance(value, list) and all(isinstance(item, dict) and "type" in item for item in value):
        return {"items": value, "fields": {}, "summary": None}
    if isinstance(value, dict):
        return _of_dict(value)
    return {"items": [], "fields": {} if value is None else {"value": value}, "summary": None}


def encode(value: Any, max_bytes: Optional[int] = None) -> bytes:
    """`document(value)` as JSON; over `max_bytes` it raises `InvalidResult`."""
    encoded = json.dumps(document(value), allow_nan=False, separators=(",", ":")).encode()
    if max_bytes is not None and len(encoded) > max_bytes:
        raise InvalidResult("the result has %d bytes of JSON, the server takes %d: keep large things in files of your own"
                            % (len(encoded), max_bytes))
    return encoded


def _of_dict(value: Json) -> Json:
    keys = value.keys()
    if keys and keys <= UPSTREAM:
        classes, fields = value.get("classes") or [], value.get("result")
        if not isinstance(classes, list):
            classes = [classes]
        fields = fields if isinstance(fields, dict) else {} if fields is None else {"value": fields}
        return {"items": [label(str(name)) for name in classes], "fields": fields, "summary": None}
    if keys and keys <= DOCUMENT:
        found, fields, summary = value.get("items") or [], value.get("fields") or {}, value.get("summary")
        if not isinstance(found, list):
            raise InvalidResult("/items is not a list")
        for index, item in enumerate(found):
            if not (isinstance(item, dict) and isinstance(item.get("type"), str)):
                raise InvalidResult("/items/%d is not a dict with a text `type`: use box(), label(), …" % index)
        if not isinstance(fields, dict):
            raise InvalidResult("/fields is not a dict")
        return {"items": found, "fields": fields, "summary": None if summary is None else str(summary)[:SUMMARY_CHARS]}
    if isinstance(value.get("type"), str) and value["type"] in ("box", "label", "text", "embedding", "hash", "points"):
        return {"items": [value], "fields": {}, "summary": None}
    return {"items": [], "fields": value, "summary": None}


def plain(value: Any, place: str = "", depth: int = 0) -> Any:
    """Anything that looks like data as what JSON knows: numpy, dataclasses, pydantic, enums, dates, paths, sets, tensors.

    Text that the server cannot keep (U+0000, halves of surrogate pairs) becomes U+FFFD.
    """
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is str:
        return clean(value)
    if kind is float:
        if math.isfinite(value):
            return value
        raise InvalidResult("%s is %s, which is no number to keep: return None, or leave it out" % (place or "/", value))
    if depth > DEPTH_MAX:
        raise InvalidResult("%s is nested deeper than %d levels" % (place[:200], DEPTH_MAX))
    if isinstance(value, dict):
        return {_key(key): plain(item, "%s/%s" % (place, key), depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, "%s/%d" % (place, index), depth + 1) for index, item in enumerate(value)]
    return plain(_convert(value, place), place, depth + 1)


def _convert(value: Any, place: str) -> Any:
    """One step of `value` towards JSON."""
    if isinstance(value, enum.Enum):
        return value.value
    for known in (bool, int, float, str):
        if isinstance(value, known):
            return known.__str__(value) if known is str else known(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidResult("%s is bytes, which JSON has not: as text it would be base64, %r…"
                            % (place or "/", base64.b64encode(bytes(value[:6])).decode()))
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for method in ("model_dump", "tolist", "_asdict"):  # pydantic; numpy and tensors; named tuples' cousins
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            return getattr(value.detach().cpu() if hasattr(value, "detach") else value, method)()
    if hasattr(value, "__float__"):  # Decimal, Fraction
        return float(value)
    raise InvalidResult("%s is a %s, which cannot be JSON" % (place or "/", type(value).__name__))


def _key(key: Any) -> str:
    return clean(str(key.value if isinstance(key, enum.Enum) else key))


def _item(kind: str, **members: Any) -> Json:
    return {"type": kind, **{name: value for name, value in members.items() if value is not None}}


def _name(label: Any) -> Optional[str]:
    """A label as text, also where the model counts its classes."""
    return None if label is None else str(label)


def _inside(x: Any, y: Any, of: Any) -> List[float]:
    """A point as fractions, cut at the edge of the image."""
    x, y = float(x), float(y)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InvalidResult("a point at (%s, %s)" % (x, y))
    if of is not None:
        width, height = _size(of)
        x, y = x / width, y / height
    elif not (-0.5 <= x <= 1.5 and -0.5 <= y <= 1.5):
        raise InvalidResult("a point at (%s, %s) is no fraction of the image: for pixels give of=image" % (x, y))
    return [round(min(max(x, 0.0), 1.0), 6), round(min(max(y, 0.0), 1.0), 6)]


def _size(of: Any) -> Tuple[float, float]:
    if hasattr(of, "shape"):
        return float(of.shape[1]), float(of.shape[0])
    width, height = of if isinstance(of, (tuple, list)) else of.size
    return float(width), float(height)
