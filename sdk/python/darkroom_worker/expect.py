"""Known answers: recorded once, compared ever after, so that a laboratory serves only what it has validated.

The file names its photographs relative to itself, each with its MD5 and its result; `tolerance` may be edited by hand.
"""
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

from .errors import ModelError

TOLERANCE = 0.01  # of scores and other fractions, and of boxes in parts of the image's side
SHOWN = 5  # differences told of one photograph; the rest are counted
# By what an item is known, beside its type; the others by their label. Whatever else it holds is compared.
KNOWN_BY = {"text": "text", "hash": "algo", "embedding": "space", "file": "name"}
Json = Dict[str, Any]


class Answers(NamedTuple):
    """An answers file: results by photograph, what the model was asked with, and how far a number may lie off."""

    tolerance: float
    params: Json
    results: Dict[Path, Tuple[str, Json]]  # MD5 and result


def md5_of(path: Path) -> str:
    """The MD5 of a file's bytes, as the server names the image."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def read(file: Path) -> Answers:
    """The answers in `file`. Raises `ModelError` when it is none, or when a photograph is missing or is another one."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        folder, tolerance, params = file.resolve().parent, float(said["tolerance"]), dict(said["params"])
        results = {(folder / name).resolve(): (str(one["md5"]), dict(one["result"])) for name, one in said["photographs"].items()}
    except OSError as error:
        raise ModelError("cannot read the known answers: %s" % error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError("%s holds no known answers (%s: %s): record them with `darkroom-worker test MODEL PHOTOS --expect %s`"
                         % (file, type(error).__name__, error, file)) from error
    for path, (md5, _) in results.items():
        if not path.is_file():
            raise ModelError("%s names a photograph that is not there: %s" % (file, path))
        if md5_of(path) != md5:
            raise ModelError("%s is not the photograph that %s knows: its MD5 is another" % (path, file))
    return Answers(tolerance, params, results)


def write(file: Path, model: str, version: str, params: Json, results: Iterable[Tuple[Path, str, Json]]) -> None:
    """Record the results of a version asked with `params`, given as (photograph, MD5, document)."""
    folder = file.resolve().parent
    named = sorted((Path(os.path.relpath(path, folder)).as_posix(), {"md5": md5, "result": result}) for path, md5, result in results)
    head = {"model": model, "version": version, "params": params, "tolerance": TOLERANCE}
    # A photograph is a line, so that a change of answers is easily looked through.
    lines = ["  %s: %s" % (json.dumps(path), json.dumps(one, ensure_ascii=False)) for path, one in named]
    file.write_text(json.dumps(head, indent=1)[:-2] + ',\n "photographs": {\n' + ",\n".join(lines) + "\n }\n}\n", encoding="utf-8")


def differences(known: Json, now: Json, tolerance: float) -> List[str]:
    """How the result `now` differs from the `known` one, as sentences; none if it does not.

    Labels, texts, hashes and whole numbers are compared exactly; the order of items does not matter.
    """
    said: List[str] = []
    pairs, missing, new = _paired(known["items"], now["items"])
    for item, match in pairs:
        said += ["%s: %s" % (name(item), what) for what in _unlike(item, match, tolerance)]
    said += ["%s is missing" % name(item) for item in missing] + ["%s is new" % name(item) for item in new]
    said += _unlike(known["fields"], now["fields"], tolerance)
    if known["summary"] != now["summary"]:
        said.append("summary was %s, is %s" % (_short(known["summary"]), _short(now["summary"])))
    return said


def told(said: List[str]) -> str:
    """Differences in one line."""
    more = ["and %d more" % (len(said) - SHOWN)] if len(said) > SHOWN else []
    return "; ".join(said[:SHOWN] + more)


def name(item: Json) -> str:
    """An item as people call it: `box "face"`."""
    kind, what = _identity(item)
    return kind if what is None else "%s %s" % (kind, _short(what))


def _identity(item: Json) -> Tuple[str, Any]:
    return item["type"], item.get(KNOWN_BY.get(item["type"], "label"))


def _paired(known: List[Json], now: List[Json]) -> Tuple[List[Tuple[Json, Json]], List[Json], List[Json]]:
    """Items that are the same thing, the nearest first given to each other; and those on either side that are left."""
    near = sorted((_distance(item, other), i, j) for i, item in enumerate(known) for j, other in enumerate(now)
                  if _identity(item) == _identity(other))
    of: Dict[int, int] = {}
    for _, i, j in near:
        if i not in of and j not in of.values():
            of[i] = j
    pairs = [(known[i], now[j]) for i, j in sorted(of.items())]
    return (pairs, [item for i, item in enumerate(known) if i not in of],
            [item for j, item in enumerate(now) if j not in of.values()])


def _distance(a: Json, b: Json) -> float:
    ours, theirs = list(_numbers(a)), list(_numbers(b))
    return math.inf if len(ours) != len(theirs) else max((abs(x - y) for x, y in zip(ours, theirs)), default=0.0)


def _numbers(value: Any) -> Iterable[float]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (dict, list)):
        for key in sorted(value) if isinstance(value, dict) else range(len(value)):
            yield from _numbers(value[key])


def _unlike(a: Any, b: Any, tolerance: float, place: str = "") -> List[str]:
    """Where two pieces of JSON differ, numbers with a fraction by more than the tolerance."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = list(a) + [key for key in b if key not in a]
        pairs = [(key if not place else "%s.%s" % (place, key), a.get(key), b.get(key)) for key in keys]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = [("%s[%d]" % (place, index), x, y) for index, (x, y) in enumerate(zip(a, b))]
    else:
        return [] if _alike(a, b, tolerance) else ["%s was %s, is %s" % (place, _short(a), _short(b))]
    found = [what for at, x, y in pairs for what in _unlike(x, y, tolerance, at)]
    if found and place and all(isinstance(value, (int, float)) for value in _flat(a)):
        return ["%s was %s, is %s" % (place, _short(a), _short(b))]  # a box is told whole
    return found


def _flat(value: Any) -> List[Any]:
    if isinstance(value, list):
        return [deep for one in value for deep in _flat(one)]
    return list(value.values()) if isinstance(value, dict) else [value]


def _alike(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (a, b))
        return numbers and math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    return type(a) is type(b) and a == b


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
