"""Reads request bodies as strictly as the server does: unknown fields, wrong types and limits are refused by name."""
from __future__ import annotations

import json
import math
import re
import uuid
from typing import Any, Callable, Dict, List, Optional, Tuple

from .problems import Fault

BATCH_MAX = 1000  # the most jobs of one claim, completion or beat
DEPTH_MAX = 32  # how deep arrays and objects may be nested
WAIT_MAX_S = 50.0  # the longest that a claim waits
Check = Callable[[Any, str], Any]


class Members(dict):  # type: ignore[type-arg]
    """An object of the body; `twice` is a key that it gave more than once."""

    twice: Optional[str] = None


def _members(pairs: List[Tuple[str, Any]]) -> Members:
    members = Members(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        members.twice = next(name for name in names if names.count(name) > 1)
    return members


def _no_constant(name: str) -> Any:
    raise ValueError("%s is not JSON" % name)


def parse(body: bytes) -> Any:
    """The JSON of a body."""
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_members, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Fault("malformed_json", "This is not JSON: %s." % error) from None


def check_free(value: Any, pointer: str = "", depth: int = 0) -> None:
    """Refuses in JSON of free form what the server could not keep, or would read two ways."""
    if isinstance(value, str) and "\0" in value:
        raise Fault("nul_character", "A string holds U+0000.", pointer)
    if isinstance(value, float) and not math.isfinite(value):
        raise Fault("invalid_result", "A number is greater than any double.", pointer)
    if isinstance(value, (dict, list)):
        if depth >= DEPTH_MAX:
            raise Fault("too_deep", "Nested deeper than %d levels." % DEPTH_MAX, pointer)
        if isinstance(value, Members) and value.twice is not None:
            raise Fault("duplicate_key", "The key %r comes twice." % value.twice, pointer)
        inner = list(value.items()) if isinstance(value, dict) else [("", item) for item in value]
        for name, item in inner:
            check_free(name, pointer, depth)
            check_free(item, pointer, depth + 1)


def obj(required: Dict[str, Check], optional: Dict[str, Check]) -> Check:
    """An object with these members and no other; an optional one may be null or left out, and is null then."""
    def check(value: Any, at: str) -> Dict[str, Any]:
        if not isinstance(value, dict):
            raise Fault("invalid_field", "Expected an object.", at)
        if isinstance(value, Members) and value.twice is not None:
            raise Fault("duplicate_key", "duplicate field `%s`." % value.twice, at)
        for name in value:
            if name not in required and name not in optional:
                raise Fault("unknown_field", "unknown field `%s`." % name, "%s/%s" % (at, name))
        for name in required:
            if name not in value:
                raise Fault("invalid_field", "missing field `%s`." % name, at)
        read = {name: check(value[name], "%s/%s" % (at, name)) for name, check in required.items()}
        for name, inner in optional.items():
            given = value.get(name)
            read[name] = None if given is None else inner(given, "%s/%s" % (at, name))
        return read
    return check


def text(most: int = 1 << 20, least: int = 0, pattern: str = "(?s).*") -> Check:
    def check(value: Any, at: str) -> str:
        if "\0" in words(value, at):
            raise Fault("nul_character", "A string holds U+0000.", at)
        if not least <= len(value) <= most or not re.fullmatch(pattern, value):
            raise Fault("invalid_field", "It has %d to %d characters, of the form that is documented." % (least, most), at)
        return str(value)
    return check


def words(value: Any, at: str) -> str:
    """A string of whatever characters."""
    if not isinstance(value, str):
        raise Fault("invalid_field", "Expected a string.", at)
    return value


def choice(*words: str) -> Check:
    def check(value: Any, at: str) -> str:
        if value not in words:
            raise Fault("invalid_field", "Expected one of %s." % ", ".join(words), at)
        return str(value)
    return check


def uid(value: Any, at: str) -> str:
    """A UUID, in lower case."""
    try:
        return str(uuid.UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise Fault("invalid_field", "Expected a UUID.", at) from None


def whole(least: int = -(1 << 63), most: int = (1 << 63) - 1) -> Check:
    def check(value: Any, at: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Fault("invalid_field", "Expected a whole number from %d to %d." % (least, most), at)
        return value
    return check


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    def check(value: Any, at: str) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
            raise Fault("invalid_field", "Expected a number from %s to %s." % (least, most), at)
        return float(value)
    return check


def flag(value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise Fault("invalid_field", "Expected true or false.", at)
    return value


def any_object(value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise Fault("invalid_field", "Expected an object.", at)
    return value


def anything(value: Any, at: str) -> Any:
    return value


def many(item: Check, most: int) -> Check:
    def check(value: Any, at: str) -> List[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise Fault("invalid_field", "Expected a list of at most %d items." % most, at)
        return [item(one, "%s/%d" % (at, place)) for place, one in enumerate(value)]
    return check


LINE = text(200)
ERROR = obj({}, dict.fromkeys(("type", "message", "traceback"), words))
LEASE = {"id": uid, "lease_no": whole()}
REGISTER = obj(
    {"service": choice("predict", "train"), "version": text(100, 1), "instance": uid},
    {"model": text(64, 1, r"[a-z0-9][a-z0-9_.-]*"), "dataset": text(), "description": text(2000),
     "tags": many(LINE, 10_000), "labels": many(LINE, 10_000), "params_schema": any_object, "result_schema": any_object,
     "batch_max": whole(1, BATCH_MAX), "host": LINE, "sdk": LINE})
CLAIM = obj({"worker": uid, "claim_id": uid},
            {"max": whole(1, BATCH_MAX), "wait_s": number(0, WAIT_MAX_S), "min": whole(1, BATCH_MAX), "linger_s": number(0, 10)})
NEXT_CLAIM = obj({"claim_id": uid}, {"max": whole(1, BATCH_MAX)})
COMPLETE_ITEM = obj(
    dict(LEASE, outcome=choice("succeeded", "retry", "rejected")),
    # what is wrong with these is told item by item
    {"result": anything, "duration_s": number(), "retry_after_s": number(), "error": ERROR})
COMPLETE = obj({"worker": uid, "items": many(COMPLETE_ITEM, BATCH_MAX)}, {"claim": NEXT_CLAIM})
RELEASE = obj({"worker": uid, "items": many(obj(dict(LEASE), {}), BATCH_MAX)}, {})
BEAT = obj({"jobs": many(obj(dict(LEASE), {"progress": number(), "note": text()}), BATCH_MAX)},
           {"draining": flag, "trouble": text(2000)})
