"""What a model may return, and what becomes of it."""
import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib

import pytest

from darkroom_worker import InvalidResult, box, embedding, hash_, label, points, results, text


@dataclasses.dataclass
class Face:
    age: int
    where: pathlib.PurePosixPath


class Mood(enum.Enum):
    HAPPY = "happy"


class Number(float):
    pass


def doc(items=(), fields=None, summary=None):
    return {"items": list(items), "fields": fields or {}, "summary": summary}


@pytest.mark.parametrize("returned, document", [
    (None, doc()),
    ([], doc()),
    ({}, doc()),
    ("words", doc(fields={"value": "words"})),
    (3, doc(fields={"value": 3})),
    (True, doc(fields={"value": True})),
    ([1, 2], doc(fields={"value": [1, 2]})),
    ({"faces": 2, "mean": 0.5}, doc(fields={"faces": 2, "mean": 0.5})),
    ([{"type": "label", "label": "cat"}], doc([{"type": "label", "label": "cat"}])),
    ({"type": "label", "label": "cat"}, doc([{"type": "label", "label": "cat"}])),
    ({"type": "jpeg"}, doc(fields={"type": "jpeg"})),
    ({"items": [label("a", 0.5)], "summary": "one"}, doc([{"type": "label", "label": "a", "score": 0.5}], summary="one")),
    ({"classes": ["cat", "dog"], "result": {"n": 1}},
     doc([{"type": "label", "label": "cat"}, {"type": "label", "label": "dog"}], {"n": 1})),
    ({"classes": "cat", "result": None}, doc([{"type": "label", "label": "cat"}])),
    (Face(3, pathlib.PurePosixPath("/a")), doc(fields={"age": 3, "where": "/a"})),
    ({"mood": Mood.HAPPY, 3: (1, {2}), "at": datetime.date(2026, 1, 2), "d": decimal.Decimal("1.5"), "n": Number(2)},
     doc(fields={"mood": "happy", "3": [1, [2]], "at": "2026-01-02", "d": 1.5, "n": 2.0})),
    ({"make": "Canon\0", "half": "\udc00", "é": "日本"}, doc(fields={"make": "Canon\ufffd", "half": "\ufffd", "é": "日本"})),
    (collections.OrderedDict(a=1), doc(fields={"a": 1})),
])
def test_everything_that_is_data_becomes_the_document(returned, document):
    assert json.loads(results.encode(returned)) == document


@pytest.mark.parametrize("returned, place", [
    ({"a": float("nan")}, "/a is nan"),
    ([box(0, 0, 1, 1, score=float("inf"))], "/0/score is inf"),
    ({"items": [3]}, "/items/0 "),
    ({"items": 3}, "/items is not a list"),
    ({"fields": 3}, "/fields is not a dict"),
    ({"a": b"\0"}, "/a is bytes"),
    ({"a": object()}, "/a is a object"),
    (object, "/ is a type"),
])
def test_what_is_not_data_is_refused_with_its_place(returned, place):
    with pytest.raises(InvalidResult) as refused:
        results.encode(returned)
    assert str(refused.value).startswith(place)


def test_a_result_that_contains_itself_or_is_too_large_is_refused():
    inside_itself = []
    inside_itself.append(inside_itself)
    with pytest.raises(InvalidResult, match="nested deeper"):
        results.encode(inside_itself)
    with pytest.raises(InvalidResult, match="the server takes 1000"):
        results.encode({"a": "x" * 1000}, max_bytes=1000)


def test_numpy_is_converted():
    numpy = pytest.importorskip("numpy")
    returned = {"mean": numpy.float32(0.5), "n": numpy.int64(3), "yes": numpy.bool_(True), "list": numpy.arange(3),
                "s": numpy.str_("a")}
    assert json.loads(results.encode(returned))["fields"] == {"mean": 0.5, "n": 3, "yes": True, "list": [0, 1, 2], "s": "a"}
    with pytest.raises(InvalidResult, match="/a/1 is nan"):
        results.encode({"a": numpy.array([0, numpy.nan])})
    assert box(0, 0, 2, 4, of=numpy.zeros((8, 4, 3)))["box"] == [0, 0, 0.5, 0.5]


def test_helpers_make_items():
    assert box(10, 20, 30, 60, "face", 0.9, of=(100, 80), eyes=2) == {
        "type": "box", "box": [0.1, 0.25, 0.3, 0.75], "label": "face", "score": 0.9, "attrs": {"eyes": 2}}
    assert box(-5, -5, 500, 500, of=(100, 80))["box"] == [0, 0, 1, 1]  # cut at the edges
    assert label(7, 0.5)["label"] == "7" and box(0, 0, 1, 1) == {"type": "box", "box": [0, 0, 1, 1]}
    assert box(0.5, 0.5, 0.1, 0.1)["box"] == [0.1, 0.1, 0.5, 0.5]
    assert text("A", 0.9, [(0, 0), (50, 40)], of=(100, 80)) == {
        "type": "text", "text": "A", "score": 0.9, "polygon": [[0, 0], [0.5, 0.5]]}
    assert embedding((1, 2), "mine-2") == {"type": "embedding", "space": "mine-2", "dim": 2, "values": [1.0, 2.0]}
    assert hash_("ff", "phash64") == {"type": "hash", "algo": "phash64", "value": "ff"}
    assert points([(0.5, 0.5)], "eye") == {"type": "points", "points": [[0.5, 0.5]], "label": "eye"}
    for bad in [lambda: box(10, 20, 30, 60), lambda: box(200, 0, 300, 10, of=(100, 80)), lambda: box(0, 0, float("nan"), 1)]:
        with pytest.raises(InvalidResult):
            bad()
