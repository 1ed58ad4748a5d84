"""The in-memory server answers as the real one does: one script of calls, played on both, gives the same statuses and shapes."""
from __future__ import annotations

import json
import os
import random
import time
import uuid
from typing import Any, Callable, Dict, List, Optional, Tuple

import pytest
from sides import InMemory, Real, ask

from darkroom_worker.testing import png

LEASE_MAX_S = 5  # of the real server, for a lease to be waited for
RESCUE_S = 20  # the longest until a server has seen to what the dead held
NONE = str(uuid.UUID(int=0))
# members whose values are compared; of all others only the type
KEPT = {"code", "status", "state", "repeat", "drain", "in", "pointer", "service", "solo", "attempt", "lease_no", "max_attempts", "media_type",
        "width", "height", "bytes", "orientation", "traceparent", "type", "title", "params"}
HEADERS = ("content-type", "accept-ranges", "content-range", "content-length", "www-authenticate", "x-content-type-options", "cache-control")


def shape(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return value if name == "params" else {key: shape(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner, name) for inner in value]
    if name in KEPT or value is None or isinstance(value, (bool, bytes)):
        return value
    return "number" if isinstance(value, (int, float)) else "text"


class Play:
    """One worker's calls to one side; keeps the shape of each answer under a name."""

    def __init__(self, side: Any, key: str, seed: str) -> None:
        self.side, self.key = side, key
        self.seen: List[Tuple[str, Any]] = []
        self._dice = random.Random(seed)

    def image(self) -> bytes:
        """Another image at each call, the same for both sides."""
        return png(self._dice.getrandbits(40))

    def __call__(self, name: str, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None, key: Optional[str] = "own") -> Any:
        sent = dict({"Authorization": "Bearer " + (self.key if key == "own" else key)} if key else {}, **(headers or {}))
        status, told, about = ask(self.side.url, method, path, body, sent)
        about = {name: value for name, value in about.items() if name in HEADERS and (name != "content-length" or "image" in name)}
        self.seen.append((name, {"status": status, "told": shape(told), "headers": about}))
        return told

    def state(self, name: str, job: str) -> None:
        self.seen.append((name, self.side.state(job)))


def register(model: str, **more: Any) -> Dict[str, Any]:
    return dict({"service": "predict", "model": model, "version": "1", "instance": str(uuid.uuid4())}, **more)


def credentials_and_bodies(play: Play, model: str) -> None:
    good = register(model)
    play("no key", "POST", "/workers/register", good, key=None)
    play("no key, no JSON", "POST", "/workers/register", b"{", key=None)
    play("strange key", "POST", "/workers/register", good, key="dr_000000000000_" + "0" * 64)
    play("no key at all", "POST", "/workers/register", good, key="x")
    play("X-API-Key", "POST", "/workers/register", good, {"X-API-Key": play.key}, key=None)
    play("api_key", "POST", "/workers/register", good, {"api_key": play.key}, key=None)
    play("bearer in capitals", "POST", "/workers/register", good, {"Authorization": "BEARER " + play.key}, key=None)
    play("out of scope", "POST", "/workers/register", register("elsewhere"))
    play("train key", "POST", "/workers/register", good, key=play.side.key("*", "train"))
    play("train key claims", "POST", "/jobs/claim", {"worker": NONE, "claim_id": NONE}, key=play.side.key("*", "train"))
    for name, change in {
        "unknown field": {"colour": 1}, "no version": {"version": None}, "empty version": {"version": ""}, "bad name": {"model": "A b"},
        "no model": {"model": None}, "bad instance": {"instance": "1"}, "train": {"service": "train"}, "other service": {"service": "x"},
        "batch 0": {"batch_max": 0}, "batch text": {"batch_max": "4"}, "tags": {"tags": "a"}, "tag": {"tags": [1]}, "schema": {"params_schema": []},
        "long": {"version": "x" * 101}, "dataset": {"dataset": "d"},
    }.items():
        play("register: " + name, "POST", "/workers/register", dict(good, **change))
    play("register: version left out", "POST", "/workers/register", {k: v for k, v in good.items() if k != "version"})
    play("register: full", "POST", "/workers/register", register(model, description="d", tags=["a"], labels=["b"], batch_max=8, host="h", sdk="s",
                                                                 params_schema={"type": "object"}))
    play("twice", "POST", "/workers/register", b'{"service":"predict","service":"predict"}')
    play("list", "POST", "/workers/register", b"[]")
    play("not JSON", "POST", "/workers/register", b'{"service": predict}')
    play("NaN", "POST", "/jobs/complete", b'{"worker":"%s","items":[{"id":"%s","lease_no":1,"outcome":"succeeded","result":NaN}]}' % (NONE.encode(), NONE.encode()))
    play("no content type", "POST", "/workers/register", good, {"Content-Type": "text/plain"})
    play("query", "POST", "/jobs/claim?wait=1", {"worker": NONE, "claim_id": NONE})
    play("no path", "GET", "/nowhere")
    play("no method", "GET", "/jobs/claim")
    play("beat of no UUID", "POST", "/workers/me/heartbeat", {"jobs": []})
    play("beat of nobody", "POST", "/workers/%s/heartbeat" % NONE, {"jobs": []})
    play("leave of nobody", "DELETE", "/workers/" + NONE)
    for name, change in {"nobody": {}, "max 0": {"max": 0}, "max": {"max": 1001}, "wait": {"wait_s": 51}, "linger": {"linger_s": 11}, "claim_id": {"claim_id": 3}}.items():
        play("claim: " + name, "POST", "/jobs/claim", dict({"worker": NONE, "claim_id": NONE}, **change))


def a_jobs_life(play: Play, model: str) -> None:
    about = register(model)
    me = play("register", "POST", "/workers/register", about)["worker"]
    assert play("again", "POST", "/workers/register", about)["worker"] == me
    play("version changes", "POST", "/workers/register", dict(about, version="2"))

    def claim(name: str, id: str = "", **more: Any) -> List[Any]:
        body = dict({"worker": me, "claim_id": id or str(uuid.uuid4()), "max": 8, "wait_s": 0}, **more)
        return list(play(name, "POST", "/jobs/claim", body)["jobs"])

    def complete(name: str, *items: Dict[str, Any], **more: Any) -> Any:
        return play(name, "POST", "/jobs/complete", dict({"worker": me, "items": list(items)}, **more))

    def item(job: Dict[str, Any], outcome: str = "succeeded", **more: Any) -> Dict[str, Any]:
        return dict({"id": job["id"], "lease_no": job["lease_no"], "outcome": outcome}, **more)

    def submit(**more: Any) -> str:
        return str(play.side.submit(play.image(), model, **more))

    claim("nothing to do")
    job, again = submit(params={"a": [1, "b"]}), str(uuid.uuid4())
    first, = claim("claimed", again, wait_s=10)
    held, = claim("replayed", again)
    claim("nothing left")
    url = held["image"]["url"]
    play("image", "GET", url)
    play("image of no key", "GET", url, key=None)
    play("image known", "GET", url, headers={"If-None-Match": '"%s"' % held["image"]["sha256"]})
    play("image in part", "GET", url, headers={"Range": "bytes=0-9"})
    play("image's end", "GET", url, headers={"Range": "bytes=-3"})
    play("image beyond", "GET", url, headers={"Range": "bytes=9999999-"})
    play("image, other range", "GET", url, headers={"Range": "lines=1-2"})
    play("no image", "GET", "/images/%s/content" % ("0" * 32))
    play("no MD5", "GET", "/images/x/content")
    beat = {"draining": False, "jobs": [{"id": job, "lease_no": held["lease_no"], "progress": 0.5, "note": "n"}]}
    play("beat", "POST", "/workers/%s/heartbeat" % me, beat)
    stop = play("beat of an old lease", "POST", "/workers/%s/heartbeat" % me, {"jobs": [{"id": job, "lease_no": first["lease_no"]}]})["stop"]
    assert stop == [job]
    play("beat with a typo", "POST", "/workers/%s/heartbeat" % me, {"jbs": []})
    play("beat of a stranger's key", "POST", "/workers/%s/heartbeat" % me, beat, key=play.side.key("*"))
    result = {"items": [{"type": "box", "box": [0.1, 0.1, 0.2, 0.2], "label": "x", "score": 0.5}], "fields": {"n": 1}, "summary": None}
    complete("stale", item(first, result=result))
    complete("nobody's", item({"id": NONE, "lease_no": 1}, result=result))
    complete("nothing")
    complete("no outcome", {"id": job, "lease_no": 1})
    complete("other outcome", item(held, "done"))
    complete("succeeded, and once more", item(held, result=result), item(held, "retry"))
    complete("repeat", item(held, result=result))
    complete("repeat says otherwise", item(held, "retry"))
    play.state("succeeded", job)
    play("image of what has ended", "GET", url)

    job = submit()
    held, = claim("for a retry", wait_s=10)
    complete("retry", item(held, "retry", retry_after_s=0, error={"type": "T", "message": "m", "traceback": None}))
    complete("retry, repeat", item(held, "retry"))
    complete("retry, then success", item(held, result=result))
    held, = claim("second try", wait_s=10)
    complete("bad words", item(held, "retry", retry_after_s=-1), item(held, "rejected", result=1), item(held, "retry", error={"message": "\0"}))
    complete("error of a wrong type", item(held, "retry", error={"message": 1}))
    complete("rejected", item(held, "rejected", error={"type": "T", "message": "m"}))
    complete("rejected, repeat", item(held, "rejected"))
    play.state("rejected", job)

    job = submit()
    held, = claim("to give back", wait_s=10)
    release = {"worker": me, "items": [{"id": job, "lease_no": held["lease_no"]}]}
    play("released", "POST", "/jobs/release", release)
    play("released, repeat", "POST", "/jobs/release", release)
    complete("after release", item(held, result=result))
    complete("with a claim", claim={"claim_id": str(uuid.uuid4()), "max": 8})
    complete("with a bad claim", claim={"claim_id": str(uuid.uuid4()), "max": 0})
    play.side.cancel(job)
    complete("cancelled", item(dict(held, lease_no=held["lease_no"] + 1), result=result))
    assert play("beat of a cancelled job", "POST", "/workers/%s/heartbeat" % me, {"jobs": [{"id": job, "lease_no": held["lease_no"] + 1}]})["stop"] == [job]

    low, high = submit(priority=-5), submit(priority=5)
    assert [job["id"] for job in claim("by priority", wait_s=10, min=2, linger_s=5)] == [high, low]
    play("leave", "DELETE", "/workers/" + me)
    play("leave again", "DELETE", "/workers/" + me)
    claim_after = {"worker": me, "claim_id": str(uuid.uuid4())}
    play("claim after leaving", "POST", "/jobs/claim", claim_after)
    play("complete after leaving", "POST", "/jobs/complete", {"worker": me, "items": [item(held, result=result)], "claim": {"claim_id": NONE}})
    play("release after leaving", "POST", "/jobs/release", release)
    back = play("back", "POST", "/workers/register", about)["worker"]
    assert back != me
    play("both again", "POST", "/jobs/claim", {"worker": back, "claim_id": str(uuid.uuid4()), "max": 8, "wait_s": 10, "min": 2, "linger_s": 5})


GOOD = {
    "box": {"items": [{"type": "box", "box": [0, 0, 1, 1], "label": "x", "score": 0.5, "mine": [1]}]}, "text": "x", "list": [1], "nothing": {},
    "upstream": {"classes": ["cat"], "result": {"n": 1}}, "upstream number": {"classes": [], "result": 3}, "other": {"a": None},
    "pixels": {"items": [{"type": "box", "box": [0, 12, 32, 48], "unit": "px"}, {"type": "points", "points": [[64, 0]], "unit": "px"}]},
    "all": {"items": [{"type": "label", "label": "a"}, {"type": "text", "text": "", "polygon": [[0, 0], [1, 1]]}, {"type": "hash", "algo": "p", "value": "0f"},
                      {"type": "embedding", "space": "s", "dim": 2, "values": [1, -2.5]}, {"type": "points", "points": [[0.5, 0.5]]},
                      {"type": "file", "name": "n"}, {"type": "new", "box": 3}], "fields": {"n": 1, "deep": {"a": []}}, "summary": "s"},
}
BAD: Dict[str, Any] = {
    "box outside": {"items": [{"type": "box", "box": [0, 0, 1.5, 1]}]}, "box turned": {"items": [{"type": "box", "box": [1, 0, 0, 1]}]},
    "no type": {"items": [{"box": [0, 0, 1, 1]}]}, "no list": {"items": {}}, "no object": {"fields": []}, "summary": {"summary": 3},
    "no box": {"items": [{"type": "box"}]}, "score": {"items": [{"type": "label", "label": "a", "score": 2}]}, "no label": {"items": [{"type": "label"}]},
    "label": {"items": [{"type": "box", "box": [0, 0, 1, 1], "label": "a\nb"}]}, "no text": {"items": [{"type": "text"}]}, "no algo": {"items": [{"type": "hash", "value": "0"}]},
    "dim": {"items": [{"type": "embedding", "space": "s", "dim": 3, "values": [1]}]}, "no values": {"items": [{"type": "embedding", "space": "s", "values": []}]},
    "no points": {"items": [{"type": "points", "points": []}]}, "polygon": {"items": [{"type": "text", "text": "", "polygon": [[0, 2]]}]},
    "second": {"items": [{"type": "label", "label": "a"}, {"type": "file"}]}, "unit": {"items": [{"type": "box", "box": [0, 0, 1, 1], "unit": "mm"}]},
    "beyond": {"items": [{"type": "box", "box": [0, 0, 65, 1], "unit": "px"}]}, "class": {"classes": [3]}, "no field": {"fields": {"": 1}}, "result field": {"result": {"a\tb": 1}},
    "NUL": {"fields": {"a": "\0"}}, "large": {"fields": {"a": "x" * (1 << 20)}}, "deep": {"fields": {"a": json.loads("[" * 32 + "]" * 32)}},
}


def results(play: Play, model: str) -> None:
    me = play("register", "POST", "/workers/register", register(model))["worker"]
    for name, result in dict(GOOD, **BAD).items():
        job = play.side.submit(play.image(), model)
        held, = play("claim: " + name, "POST", "/jobs/claim", {"worker": me, "claim_id": str(uuid.uuid4()), "wait_s": 10})["jobs"]
        item = {"id": job, "lease_no": held["lease_no"], "outcome": "succeeded", "result": result, "duration_s": 0.1}
        for turn, sent in (("", item), (" again", item), (" and then rejected", dict(item, outcome="rejected", result=None)), (" and then good", dict(item, result=1))):
            play(name + turn, "POST", "/jobs/complete", {"worker": me, "items": [sent]})
        play.state("state: " + name, job)
        play.seen.append(("kept: " + name, play.side.result(job, held["image"]["md5"])))


def a_death(play: Play, model: str) -> None:
    """What a silent worker held is run alone by the next one, which is given nothing else meanwhile."""
    told = play("register", "POST", "/workers/register", register(model))
    if told["lease_s"] > LEASE_MAX_S:
        pytest.skip("the real server's leases are too long to wait for one")
    silent, (one, other) = told["worker"], [play.side.submit(play.image(), model) for _ in range(2)]
    claim = {"worker": silent, "claim_id": str(uuid.uuid4()), "max": 1, "wait_s": 10}
    held, = play("held by one that dies", "POST", "/jobs/claim", claim)["jobs"]
    lost = held["id"]
    until = time.monotonic() + told["lease_s"] + RESCUE_S
    while play.side.state(lost)[0] == "running" and time.monotonic() < until:
        time.sleep(0.05)  # no sign of life is what is tried
    play("beat of the dead", "POST", "/workers/%s/heartbeat" % silent, {"jobs": []})
    play("result of the dead", "POST", "/jobs/complete", {"worker": silent, "items": [{"id": lost, "lease_no": 1, "outcome": "succeeded", "result": 1}]})
    heir = play("register the heir", "POST", "/workers/register", register(model))["worker"]
    claim = dict(claim, worker=heir, max=8)
    alone, = play("alone", "POST", "/jobs/claim", dict(claim, claim_id=str(uuid.uuid4())))["jobs"]
    assert alone["id"] == lost and alone["solo"]
    play("nothing beside it", "POST", "/jobs/claim", dict(claim, claim_id=str(uuid.uuid4()), wait_s=0))
    play("it ends", "POST", "/jobs/complete", {"worker": heir, "items": [{"id": lost, "lease_no": 2, "outcome": "succeeded", "result": 1}]})
    play("then the other", "POST", "/jobs/claim", dict(claim, claim_id=str(uuid.uuid4())))
    for job in (one, other):
        play.state("state", job)


def the_end(play: Play, model: str) -> None:
    about = register(model)
    me = play("register", "POST", "/workers/register", about)["worker"]
    play.side.retire(model)
    play("retired: beat", "POST", "/workers/%s/heartbeat" % me, {"jobs": []})
    play("retired: claim", "POST", "/jobs/claim", {"worker": me, "claim_id": str(uuid.uuid4())})
    play("retired: register", "POST", "/workers/register", register(model))
    play.side.revoke(play.key)
    play("revoked: beat", "POST", "/workers/%s/heartbeat" % me, {"jobs": []})
    play("revoked: claim", "POST", "/jobs/claim", {"worker": me, "claim_id": str(uuid.uuid4())})


@pytest.mark.parametrize("script", [credentials_and_bodies, a_jobs_life, results, a_death, the_end], ids=lambda f: f.__name__)
def test_both_servers_answer_alike(script: Callable[[Play, str], None]) -> None:
    if not os.environ.get("DARKROOM_TEST_URL"):
        pytest.skip("no real server to compare with: DARKROOM_TEST_URL and DARKROOM_TEST_PASSWORD are not set")
    model = "same-" + uuid.uuid4().hex[:8]
    told = []
    for side in (InMemory(), Real()):
        play = Play(side, side.key(model + "*"), model)
        try:
            script(play, model)
        finally:
            side.close()
        told.append(play.seen)
    assert [name for name, _ in told[0]] == [name for name, _ in told[1]]
    apart = ["%s:\n  in memory %s\n  real      %s" % (name, mine, real) for (name, mine), (_, real) in zip(*told) if mine != real]
    assert not apart, "\n".join(apart)
