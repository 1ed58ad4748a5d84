"""The in-memory server: what the comparison with the real one does not reach, leases that end, faults on demand."""
from __future__ import annotations

import json
import time
import uuid
from http.client import HTTPConnection, HTTPException
from typing import Any, Dict, Iterator, List

import pytest
from sides import ask

from darkroom_worker.testing import Job, Server, png


class Worker:
    """A worker that does what the test says."""

    def __init__(self, server: Server, model: str = "m") -> None:
        self.server = server
        about = {"service": "predict", "model": model, "version": "1", "instance": str(uuid.uuid4())}
        self.id = self("POST", "/workers/register", about)["worker"]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        status, told, _ = ask(self.server.url, method, path, body, {"X-API-Key": self.server.key})
        return told if status < 400 else status

    def claim(self, wait_s: float = 5, **more: Any) -> List[Dict[str, Any]]:
        body = dict({"worker": self.id, "claim_id": str(uuid.uuid4()), "max": 8, "wait_s": wait_s}, **more)
        return list(self("POST", "/jobs/claim", body)["jobs"])

    def complete(self, job: Dict[str, Any], outcome: str = "succeeded", result: Any = "x", **more: Any) -> Any:
        item = dict({"id": job["id"], "lease_no": job["lease_no"], "outcome": outcome, "result": result}, **more)
        return self("POST", "/jobs/complete", {"worker": self.id, "items": [item]})["items"][0]

    def beat(self, *jobs: Dict[str, Any]) -> Any:
        return self("POST", "/workers/%s/heartbeat" % self.id, {"jobs": [{"id": job["id"], "lease_no": job["lease_no"]} for job in jobs]})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(lease_s=60, backoff_s=0) as server:
        yield server


@pytest.fixture
def hasty() -> Iterator[Server]:
    """With leases that end while one looks."""
    with Server(lease_s=1.0, backoff_s=0) as server:
        yield server


def test_a_job_is_served_and_its_end_is_waited_for(server: Server) -> None:
    job = server.add(png(1), model="m", params={"a": 1})
    worker = Worker(server)
    told, = worker.claim()
    assert (told["params"], told["image"]["width"], told["image"]["height"]) == ({"a": 1}, 64, 48)
    worker.complete(told, result={"classes": ["cat"], "result": {"n": 1}}, duration_s=0.5)
    done = server.wait(job, timeout_s=30)
    assert (done.state, done.version, done.duration_s) == ("succeeded", "1", 0.5)
    assert done.result == {"items": [{"type": "label", "label": "cat"}], "fields": {"n": 1}, "summary": None}
    with pytest.raises(TimeoutError, match="queued after 0 tries"):
        server.wait(server.add(png(2), model="m"), timeout_s=0.01)


def test_a_waiting_claim_is_woken(server: Server) -> None:
    worker = Worker(server)
    job = server.add(png(1), model="m", delay_s=0.2)
    started = time.monotonic()
    assert [told["id"] for told in worker.claim(wait_s=30)] == [job.id]
    assert 0.2 <= time.monotonic() - started < 25


def test_a_silent_worker_is_given_up_and_its_job_runs_alone(hasty: Server) -> None:
    jobs = [hasty.add(png(n), model="m") for n in range(3)]
    worker = Worker(hasty)
    assert len(worker.claim(max=2)) == 2
    hasty.until(lambda: not hasty.workers(), lambda: "the worker lives")
    assert worker.beat() == 410
    hasty.book.lease_s = 60.0
    again = Worker(hasty)
    alone, = again.claim()
    assert (alone["solo"], alone["attempt"]) == (True, 1)
    assert again.claim(wait_s=0) == []
    again.complete(alone)
    alone, = again.claim()
    again.complete(alone)
    usual, = again.claim()
    assert not usual["solo"] and {job.state for job in jobs} == {"succeeded", "running"}


def test_deaths_alone_poison(server: Server) -> None:
    job = server.add(png(1), model="m", solo=True)
    for _ in range(3):
        worker = Worker(server)
        assert worker.claim()
        server.forget()
    assert (job.state, job.reason, job.deaths) == ("failed", "poisoned", 3)


def test_a_session_is_kept_free_for_a_job_that_runs_alone(server: Server) -> None:
    server.add(png(1), model="m")
    busy, other = Worker(server), Worker(server)
    held, = busy.claim(max=1)
    server.add(png(2), model="m", solo=True)
    server.add(png(3), model="m")
    assert busy.claim(wait_s=0) == []
    busy.complete(held)
    assert [told["solo"] for told in busy.claim()] == [True]
    assert [told["solo"] for told in other.claim()] == [False]


def test_what_a_beat_does_not_list_goes_back(hasty: Server) -> None:
    job = hasty.add(png(1), model="m")
    worker = Worker(hasty)
    assert worker.claim()
    deadline = time.monotonic() + 30
    while job.state == "running" and time.monotonic() < deadline:
        assert worker.beat()["stop"] == []
    assert (job.state, job.attempt, job.solo) == ("queued", 0, False)


def test_tries_run_out_and_take_too_long(server: Server) -> None:
    job, late = server.add(png(1), model="m", max_attempts=2), server.add(png(2), model="m", deadline_s=0.05, max_attempts=1)
    worker = Worker(server)
    first, second = worker.claim()
    server.wait(late, timeout_s=30)
    assert (late.state, late.reason) == ("failed", "exhausted") and worker.complete(second)["status"] == 409
    assert worker.complete(first, "retry", None, error={"type": "T", "message": "m"})["state"] == "queued"
    second, = worker.claim()
    assert worker.complete(second, "retry", None, error={"type": "T", "message": "n"})["state"] == "failed"
    assert (job.reason, job.error) == ("exhausted", {"type": "T", "message": "n", "traceback": None})


def test_a_refused_result_ends_its_job_and_is_refused_again(server: Server) -> None:
    job = server.add(png(1), model="m")
    worker = Worker(server)
    told, = worker.claim()
    for _ in range(2):
        answer = worker.complete(told, result={"items": [{"type": "box", "box": [0, 0, 2, 1]}]})
        assert (answer["status"], answer["problem"]["errors"][0]["pointer"]) == (422, "/items/0/result/items/0/box")
    assert (job.state, job.reason, job.error and job.error["type"]) == ("failed", "rejected", "InvalidResult")


def test_faults_come_as_often_as_was_said(server: Server) -> None:
    worker = Worker(server)
    server.fail("beat", status=503, retry_after_s=2, times=2)
    path = "/workers/%s/heartbeat" % worker.id
    for _ in range(2):
        status, told, headers = ask(server.url, "POST", path, {"jobs": []}, {"X-API-Key": server.key})
        assert (status, told["code"], headers["retry-after"]) == (503, "unavailable", "2")
    assert worker.beat()["stop"] == []
    server.reset("beat")
    with pytest.raises((OSError, HTTPException)):
        worker.beat()
    server.garble("claim")
    status, told, headers = ask(server.url, "POST", "/jobs/claim", {}, {"X-API-Key": server.key})
    assert status == 200 and headers["content-type"] == "text/html"
    server.redirect("beat", to="http://127.0.0.1:9")
    status, _, headers = ask(server.url, "POST", path, {"jobs": []}, {"X-API-Key": server.key})
    assert (status, headers["location"]) == (307, "http://127.0.0.1:9" + path)
    server.delay("beat", seconds=0.3)
    started = time.monotonic()
    worker.beat()
    assert time.monotonic() - started >= 0.3 and server.troubles.left() == 0
    with pytest.raises(ValueError, match="no operation"):
        server.fail("heartbeat")


def test_an_answer_is_lost_after_the_act(server: Server) -> None:
    job = server.add(png(1), model="m")
    worker, claim_id = Worker(server), str(uuid.uuid4())
    server.reset("claim", late=True)
    with pytest.raises((OSError, HTTPException)):
        worker.claim(claim_id=claim_id)
    told, = worker.claim(claim_id=claim_id)
    assert (told["lease_no"], told["attempt"]) == (2, 1)
    server.reset("complete", late=True)
    with pytest.raises((OSError, HTTPException)):
        worker.complete(told)
    assert job.state == "succeeded" and worker.complete(told)["repeat"]


def test_a_restart_cuts_connections_and_keeps_what_is_known(hasty: Server) -> None:
    job = hasty.add(png(1), model="m")
    worker, url = Worker(hasty), hasty.url
    told, = worker.claim()
    hasty.restart(away_s=1.1)
    assert hasty.url == url and worker.complete(told)["state"] == "succeeded" and job.ended


def test_a_claim_whose_client_hung_up_takes_nothing(server: Server) -> None:
    worker = Worker(server)
    job = server.add(png(1), model="m", delay_s=0.2)
    connection = HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=5)
    body = json.dumps({"worker": worker.id, "claim_id": str(uuid.uuid4()), "wait_s": 5})
    connection.request("POST", "/jobs/claim", body, {"Content-Type": "application/json", "X-API-Key": server.key})
    connection.close()
    assert [(told["id"], told["lease_no"]) for told in worker.claim()] == [(job.id, 1)]


def test_answers_may_hold_more_than_is_known() -> None:
    with Server(extra={"weather": "fine"}) as server:
        assert isinstance(server.add(png(1), model="m"), Job)
        assert Worker(server)("POST", "/workers/register", {
            "service": "predict", "model": "m", "version": "1", "instance": str(uuid.uuid4())})["weather"] == "fine"
