"""What Label Studio calls a result, as items: percent of the image become fractions."""
from typing import Any, Dict, Iterator, List, Optional

from .. import results
from .client import BadAnswer

Json = Dict[str, Any]


def document(prediction: Json) -> Json:
    """A prediction's `result` as items; what is neither a box, points, a choice nor a text is kept as the field `regions`."""
    regions = prediction.get("result")
    if not isinstance(regions, list):
        raise BadAnswer("the prediction has no result: %s" % repr(prediction)[:200])
    items: List[Json] = []
    others: List[Json] = []
    for group in _groups(regions):
        found = list(_items(group))
        items += found
        others += [] if found else group
    fields = {"regions": others} if others else {}
    if isinstance(prediction.get("score"), (int, float)):
        fields["score"] = prediction["score"]
    return {"items": items, "fields": fields, "summary": None}


def _groups(regions: List[Any]) -> List[List[Json]]:
    """Regions with one id are one thing: its shape, its label, the text in it."""
    groups: Dict[Any, List[Json]] = {}
    for index, region in enumerate(regions):
        if not isinstance(region, dict) or not isinstance(region.get("value"), dict):
            raise BadAnswer("a region without a value: %s" % repr(region)[:200])
        groups.setdefault(str(region.get("id") or "/%d" % index), []).append(region)
    return list(groups.values())


def _items(group: List[Json]) -> Iterator[Json]:
    values = [region["value"] for region in group]
    score = next((number for region in group for number in (region.get("score"), region["value"].get("score"))
                  if isinstance(number, (int, float))), None)
    texts, labels, choices = _words(values, "text"), _words(values, "labels"), _words(values, "choices")
    shape = next((value for value in values if "width" in value or "points" in value or "x" in value), None)
    if texts:
        corners = _corners(shape) if shape else None
        for text in texts:
            yield results.text(text, score, corners)
    elif shape is None:
        for choice in choices:
            yield results.label(choice, score)
    elif "points" in shape or "width" not in shape or "keypointlabels" in shape:
        for label in labels or [None]:
            yield {**results.points(_corners(shape), label), **({} if score is None else {"score": score})}
    else:
        (x0, y0), (x1, y1) = _corners(shape)[0], _corners(shape)[2]
        more = {name: value for name, value in (("rotation", shape.get("rotation")), ("choices", choices)) if value}
        for label in labels or [None]:
            yield results.box(x0, y0, x1, y1, label, score, **more)


def _words(values: List[Json], kind: str) -> List[Any]:
    """The texts, labels or choices of a thing; labels come under the name of their tool, as `rectanglelabels`."""
    found: List[Any] = []
    for value in values:
        for name, said in value.items():
            if name == kind or (kind == "labels" and name.endswith("labels")):
                found += said if isinstance(said, list) else [said]
    if not all(isinstance(word, str) for word in found):
        raise BadAnswer("%s that are no texts: %s" % (kind, repr(found)[:200]))
    return found


def _corners(value: Json) -> List[List[float]]:
    """The points of a shape as fractions; of a rectangle its four corners."""
    if "points" in value:
        points = value["points"]
    else:
        x, y = value.get("x"), value.get("y")
        if "width" not in value or "keypointlabels" in value:
            points = [(x, y)]
        else:
            right, bottom = _sum(x, value.get("width")), _sum(y, value.get("height"))
            points = [(x, y), (right, y), (right, bottom), (x, bottom)]
    try:
        return [[float(point[0]) / 100.0, float(point[1]) / 100.0] for point in points]
    except (TypeError, ValueError, LookupError) as error:
        raise BadAnswer("a shape without numbers: %s" % repr(value)[:200]) from error


def _sum(start: Any, size: Any) -> Optional[float]:
    return start + size if isinstance(start, (int, float)) and isinstance(size, (int, float)) else None
