"""The rules of the worker protocol that every worker must keep. Each is tried on a running worker and raises Broken if it is not kept."""
from __future__ import annotations

import time
from typing import Callable, List, NamedTuple

from .routes import Request
from .stage import HEARTBEAT_S, Broken, Elsewhere, Stage

BEATS = 8  # to be seen in half the time that a step may take: on a slow machine, that is to be longer
HASTE_PER_S = 10  # more requests in a second than this are haste, where nothing came of those before


class Rule(NamedTuple):
    name: str
    must: bool  # else it should
    run: Callable[[Stage], None]


RULES: List[Rule] = []


def rule(name: str, must: bool = True) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    def keep(run: Callable[[Stage], None]) -> Callable[[Stage], None]:
        RULES.append(Rule(name, must, run))
        return run
    return keep


@rule("registers with its key")
def registers(stage: Stage) -> None:
    session = stage.up()
    if session.key != stage.server.key:
        raise Broken("it did not send the key of DARKROOM_API_KEY")


@rule("completes what it claims, under the lease that it was given")
def completes(stage: Stage) -> None:
    jobs = [stage.job() for _ in range(4)]
    stage.succeeds(*jobs)
    stage.succeeds(stage.job())
    for job in jobs:
        if job.lease_no != 1 or len(stage.said(job)) != 1:
            raise Broken("a job took %d claims and %d completions where one does" % (job.lease_no, len(stage.said(job))))
    answers = [item for request in stage.asked("complete") for item in (request.answer or {}).get("items", [])]
    bad = [item["problem"] for item in answers if item["status"] != 200]
    if bad:
        raise Broken("a completion was answered %s" % bad[0]["code"])


@rule("claims again only when it was answered, and waits for the server to answer")
def waits(stage: Stage) -> None:
    stage.succeeds(stage.job())
    since = time.monotonic()
    time.sleep(2)  # nothing is to be done meanwhile
    asked = len(stage.asked("claim", since))
    if asked > 2 * HASTE_PER_S:
        raise Broken("with nothing to do it claimed %d times in 2 s: send wait_s" % asked)


@rule("beats while it works, and lists what it holds")
def beats(stage: Stage) -> None:
    since = time.monotonic()

    def beats() -> List[Request]:
        """Those that came while it held the job, but for one that was under way when the job came."""
        images = stage.asked("image", since)
        return [request for request in stage.asked("beat", images[0].at)[1:] if request.status == 200] if images else []
    stage.server.delay("image", seconds=stage.wait_s, until=lambda: len(beats()) >= BEATS)
    job = stage.job()
    stage.at_work(job)
    stage.until(lambda: len(beats()) >= BEATS or not stage.runs(),
                lambda: "with a job in hand it beat %d times; every %g s is asked for" % (len(beats()), HEARTBEAT_S), stage.wait_s / 2)
    seen = beats()[:BEATS]
    listing = [request for request in seen if {"id": job.id, "lease_no": 1} in [
        {"id": item.get("id"), "lease_no": item.get("lease_no")} for item in request.body["jobs"]]]
    if len(listing) < len(seen):
        raise Broken("%d of %d beats did not list the job that it held" % (len(seen) - len(listing), len(seen)))
    stage.succeeds(job)


@rule("sends its key to this host only")
def key_stays(stage: Stage) -> None:
    content = stage.job().photo.content
    elsewhere = Elsewhere(content)
    try:
        jobs = [stage.job(content, url=elsewhere.url + "/bytes?signature=1")]
        stage.until(lambda: bool(stage.said(jobs[0])) or not stage.runs(), lambda: "it says nothing of a job whose image is elsewhere")
        stage.server.cancel(jobs[0])
        stage.server.redirect("image", to=elsewhere.url)
        jobs.append(stage.job(content))
        stage.until(lambda: bool(stage.said(jobs[1])) or not stage.runs(), lambda: "it says nothing of a job whose image is redirected")
        if any(stage.server.key in seen for seen in elsewhere.seen):
            raise Broken("it sent its key to another host")
        stage.server.cancel(jobs[1])
        stage.up()
        stage.succeeds(stage.job())
    finally:
        elsewhere.close()


@rule("tries again what is answered 503 or 429")
def unavailable(stage: Stage) -> None:
    for on, status in (("claim", 503), ("complete", 503), ("beat", 503), ("image", 503), ("claim", 429)):
        stage.server.fail(on, status=status, retry_after_s=1)
    stage.meets_all()
    since = time.monotonic()
    stage.server.fail(status=500, times=1000)
    time.sleep(2.5)  # everything is answered 500 meanwhile
    stage.server.troubles.clear()
    asked = len([request for request in list(stage.server.requests) if request.at >= since])
    if asked > 4 * HASTE_PER_S:
        raise Broken("it sent %d requests in 2.5 s that were all answered 500" % asked)
    stage.succeeds(stage.job())


@rule("tries again when the connection is lost, or the server away for a while")
def lost(stage: Stage) -> None:
    for on in ("claim", "complete", "beat", "image"):
        stage.server.reset(on)
    stage.meets_all()
    stage.server.restart(away_s=1.5)
    stage.succeeds(stage.job())


@rule("goes on when the answer to a completion is lost")
def answer_lost(stage: Stage) -> None:
    stage.server.reset("complete", late=True)
    stage.meets_all()


@rule("registers again on 410, and goes on")
def gone(stage: Stage) -> None:
    before = stage.up()
    stage.server.forget()
    if stage.session().id == before.id:
        raise Broken("it did not register again")
    stage.server.delay("image", seconds=4 * HEARTBEAT_S)
    job = stage.job()
    stage.held(job)
    stage.server.forget()
    stage.session()
    stage.succeeds(job, stage.job())


@rule("goes on when a lease was lost")
def stale(stage: Stage) -> None:
    stage.server.delay("image", seconds=1)
    job = stage.job()
    stage.held(job)
    stage.server.cancel(job)
    stage.succeeds(stage.job())


@rule("says what failed: outcome retry or rejected, with an error")
def tells(stage: Stage) -> None:
    stage.server.fail("image", status=404)
    job = stage.job()
    stage.until(lambda: bool(stage.said(job)) or not stage.runs(), lambda: "it says nothing of a job whose image it was refused")
    said = stage.said(job)
    if not said:
        raise Broken("it ended with %d when an image was refused" % stage.code())
    if said[0].get("outcome") not in ("retry", "rejected") or not (said[0].get("error") or {}).get("message"):
        raise Broken("of an image that it was refused it said %s" % {name: said[0].get(name) for name in ("outcome", "error")})
    stage.succeeds(stage.job())


@rule("lets no bad image harm another")
def bad_image(stage: Stage) -> None:
    bad = [stage.job(b"", max_attempts=1), stage.job(b"\x89PNG\r\n\x1a\nthis is no image", max_attempts=1)]
    good = [stage.job() for _ in range(3)]
    stage.succeeds(*good)
    for job in bad:
        stage.until(lambda: job.ended or not stage.runs(), lambda: "a job on what is no image is %s" % job.state)
        if job.state == "failed" and not (job.error or {}).get("message"):
            raise Broken("a job on what is no image failed without a message")


@rule("goes on when its result is refused")
def refused(stage: Stage) -> None:
    stage.server.refuse_result()
    job = stage.job()
    stage.until(lambda: job.ended or not stage.runs(), lambda: "a job is %s" % job.state)
    stage.succeeds(stage.job())


@rule("ignores fields that it does not know")
def additive(stage: Stage) -> None:
    stage.server.extra = {"x_later": {"a": [1]}, "items_later": []}
    stage.server.forget()
    stage.session()
    stage.succeeds(stage.job(), stage.job())


@rule("does not hammer a server that refuses its key")
def hammer(stage: Stage) -> None:
    stage.server.revoke()
    time.sleep(1)  # what was under way
    since = time.monotonic()
    time.sleep(2)
    asked = len([request for request in list(stage.server.requests) if request.at >= since])
    stage.server.book.keys[stage.server.key].revoked = False
    if asked > 2 * HASTE_PER_S:
        raise Broken("it sent %d requests in 2 s that were all answered 401" % asked)
    stage.down()
