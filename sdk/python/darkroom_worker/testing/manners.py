"""The rules that a good worker keeps as well: nothing is lost without them, but time, or somebody's patience."""
from __future__ import annotations

import contextlib
import threading
import time
from typing import List

from .jobs import Job
from .rules import rule
from .stage import HEARTBEAT_S, Broken, Stage


@rule("repeats a claim whose answer was lost, with the same claim_id", must=False)
def same_claim(stage: Stage) -> None:
    stage.server.reset("claim", late=True)
    stage.succeeds(stage.job())
    job = stage.job()
    stage.held(job)
    stage.succeeds(job)
    lost = [request for request in stage.asked("claim") if request.fault == "reset"][-1]
    ids = [request.body["claim_id"] for request in stage.asked("claim", lost.at)]
    if ids[:2] != [lost.body["claim_id"]] * 2:
        raise Broken("it claimed anew; what it was given waits for its beats and a lease")


@rule("waits as long as Retry-After says", must=False)
def patience(stage: Stage) -> None:
    stage.server.fail("claim", retry_after_s=2)
    stage.meets_all()
    told = [request for request in stage.asked("claim") if request.fault == "status"][-1]
    again = [request for request in stage.asked("claim") if request.at > told.at][0]
    if again.at - told.at < 1.9:
        raise Broken("it was told to wait 2 s and came after %.1f" % (again.at - told.at))


@rule("takes what is no answer of the server's for a fault, and tries again", must=False)
def garbage(stage: Stage) -> None:
    for on in ("claim", "complete", "beat"):
        stage.server.garble(on)
    stage.meets_all()


@rule("takes no other bytes for the image: its md5 and sha256 are told", must=False)
def other_bytes(stage: Stage) -> None:
    since = time.monotonic()
    stage.server.garble("image")
    job = stage.job()
    stage.succeeds(job)
    if len([request for request in stage.asked("image", since) if job.photo.md5 in request.path]) < 2:
        raise Broken("it sent a result of what a proxy gave it in place of the image")


@rule("drops a job that `stop` names", must=False)
def stop(stage: Stage) -> None:
    jobs: List[Job] = []  # empty until the test has it, which may be after the worker has

    def told() -> bool:
        """Whether it has seen the answer that names the job: the beat after that one has come."""
        stops = [(request.answer or {}).get("stop", []) for request in stage.asked("beat")[:-1]]
        return any(job.id in stop for job in jobs for stop in stops)
    stage.server.delay("image", seconds=stage.wait_s, until=told)
    job = stage.job()
    jobs.append(job)
    stage.held(job)
    stage.server.cancel(job)
    stage.succeeds(stage.job())
    if stage.said(job):
        raise Broken("it sent a result that nobody waits for")


@rule("takes nothing else while it holds a job that is `solo`", must=False)
def solo(stage: Stage) -> None:
    stage.server.delay("image", seconds=1)
    job = stage.job(solo=True)
    stage.held(job)
    stage.succeeds(job, stage.job())
    ended = [request.at for request in stage.asked("complete", job.claimed_at)][0]
    if [request for request in stage.asked("claim", job.claimed_at + 0.02) if request.at < ended - 0.02]:
        raise Broken("it claimed on while the job was in hand")


@rule("finishes and leaves on SIGTERM", must=False)
def terminates(stage: Stage) -> None:
    sent = threading.Event()
    stage.server.delay("image", seconds=stage.wait_s, until=sent.is_set)
    job = stage.job()
    stage.at_work(job)
    at = time.monotonic()
    stage.signal()
    sent.set()
    code = stage.ended()
    if job.state != "succeeded":
        raise Broken("it did not finish what it held")
    if not stage.asked("leave", at):
        raise Broken("it did not leave: DELETE /workers/{id}")
    if code:
        raise Broken("it ended with %d" % code)


@rule("gives back what it holds on a second SIGTERM", must=False)
def gives_back(stage: Stage) -> None:
    stage.server.delay("image", seconds=2 * stage.wait_s, until=lambda: not stage.runs())
    job = stage.job()
    stage.at_work(job)
    at = time.monotonic()
    stage.signal()
    with contextlib.suppress(Broken):  # or the two would be taken for one; some do not tell
        stage.until(lambda: any(request.body.get("draining") for request in stage.asked("beat", at)), str, 4 * HEARTBEAT_S)
    stage.signal()
    stage.ended()
    if job.state != "queued" or job.solo:
        raise Broken("it did not give back what it held: POST /jobs/release, or DELETE /workers/{id}")


@rule("finishes and ends when the server says `drain`", must=False)
def drains(stage: Stage) -> None:
    stage.server.delay("image", seconds=stage.wait_s, until=lambda: bool(stage.server.book.retired))
    job = stage.job()
    stage.at_work(job)
    stage.server.drain()
    try:
        code = stage.ended()
    finally:
        stage.server.book.retired.clear()
    if job.state != "succeeded" or code:
        raise Broken("it ended with %d, and the job that it held is %s" % (code, job.state))


@rule("ends, not with 0, when its key is refused", must=False)
def revoked(stage: Stage) -> None:
    stage.server.revoke()
    try:
        if stage.ended() == 0:
            raise Broken("it ended with 0, as if all were well")
    finally:
        stage.server.book.keys[stage.server.key].revoked = False


@rule("is another instance each time it starts")
def instances(stage: Stage) -> None:
    stage.down()
    stage.up()
    if len(set(stage.instances)) < len(stage.instances):
        raise Broken("it sent the same `instance` twice: make a UUID when the process starts")


@rule("sends nothing that the server cannot read")
def well_formed(stage: Stage) -> None:
    stage.until(lambda: bool(stage.asked("claim")), lambda: "it does not claim")
    bad = [request for request in list(stage.server.requests) if request.status in (400, 404, 405, 413, 415, 422) and request.fault is None]
    bad = [request for request in bad if request.operation != "image"]
    if bad:
        raise Broken("%s %s was answered %s: %s" % (bad[0].method, bad[0].path, bad[0].status, bad[0].answer["detail"]))
