"""The two servers that a test compares: the in-memory one, and a real one whose address the environment names."""
from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any, Dict, Optional, Tuple

from darkroom_worker.testing import Server

WAIT_S = 30  # the longest that one call may take
Answer = Tuple[int, Any, Dict[str, str]]


def ask(url: str, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Answer:
    """Status, JSON (else bytes) and headers of one request; `body` goes as JSON unless it is bytes."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = dict({"Content-Type": "application/json"} if data is not None else {}, **(headers or {}))
    request = urllib.request.Request(url + path, data, sent, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=WAIT_S)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        content = answer.read()
        assert len(answer.headers) == len({name.lower() for name in answer.headers}), "a header comes twice"
        about = {name.lower(): value for name, value in answer.headers.items()}
        is_json = "json" in about.get("content-type", "")
        return answer.status, json.loads(content) if is_json and content else content, about


class InMemory:
    """The test kit's server."""

    name = "in-memory"

    def __init__(self) -> None:
        self.server = Server(heartbeat_s=1.0, lease_s=5.0, backoff_s=0.0)
        self.server.start()
        self.url = self.server.url

    def key(self, glob: str, service: str = "predict") -> str:
        return self.server.make_key([glob], service)

    def submit(self, image: bytes, model: str, priority: int = 0, params: Optional[Dict[str, Any]] = None) -> str:
        return self.server.add(image, model=model, priority=priority, params=params).id

    def cancel(self, job: str) -> None:
        self.server.cancel(self.server.book.jobs[job])

    def state(self, job: str) -> Tuple[str, Optional[str]]:
        self.server.workers()  # sees to what time alone brings about
        return self.server.book.jobs[job].state, self.server.book.jobs[job].reason

    def result(self, job: str, md5: str) -> Any:
        return self.server.book.jobs[job].result

    def revoke(self, key: str) -> None:
        self.server.revoke(key)

    def retire(self, model: str) -> None:
        self.server.drain()

    def close(self) -> None:
        self.server.stop()


class Real:
    """A real server and the password of its administrator `admin`: else DARKROOM_TEST_URL and DARKROOM_TEST_PASSWORD."""

    name = "real"

    def __init__(self, url: Optional[str] = None, password: Optional[str] = None) -> None:
        self.url = url or os.environ["DARKROOM_TEST_URL"]
        password = password or os.environ["DARKROOM_TEST_PASSWORD"]
        form = urllib.parse.urlencode({"username": "admin", "password": password})
        status, told, _ = ask(self.url, "POST", "/auth/login", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 200, told
        self.user = {"Authorization": "Bearer " + told["access_token"]}
        self.keys: Dict[str, str] = {}

    def _done(self, method: str, path: str, body: Any = None, headers: Optional[Dict[str, str]] = None) -> Any:
        status, told, _ = ask(self.url, method, path, body, dict(self.user, **(headers or {})))
        assert status < 300, (method, path, told)
        return told

    def key(self, glob: str, service: str = "predict") -> str:
        made = self._done("POST", "/auth/key", {"service": service, "models": [glob]})
        self.keys[made["key"]] = made["id"]
        return str(made["key"])

    def submit(self, image: bytes, model: str, priority: int = 0, params: Optional[Dict[str, Any]] = None) -> str:
        edge = uuid.uuid4().hex
        fields = {"models": model, "priority": str(priority), "params": json.dumps({model: params or {}})}
        parts = ['--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (edge, n, v) for n, v in fields.items()]
        head = "".join(parts) + '--%s\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n' % edge
        body = head.encode() + image + ("\r\n--%s--\r\n" % edge).encode()
        told = self._done("POST", "/predict", body, {"Content-Type": "multipart/form-data; boundary=" + edge})
        return str(told["images"][0]["jobs"][0]["id"])

    def cancel(self, job: str) -> None:
        self._done("POST", "/jobs/%s/cancel" % job)

    def state(self, job: str) -> Tuple[str, Optional[str]]:
        told = self._done("GET", "/jobs/" + job)
        return told["state"], told["reason"]

    def result(self, job: str, md5: str) -> Any:
        results = self._done("GET", "/predict/" + md5)["results"].values()
        return next(({part: told[part] for part in ("items", "fields", "summary")} for told in results if told["job"] == job), None)

    def revoke(self, key: str) -> None:
        self._done("DELETE", "/auth/key/" + self.keys[key])

    def retire(self, model: str) -> None:
        self._done("PATCH", "/models/" + model, {"retired": True})

    def close(self) -> None:
        """Nothing to end: it is somebody else's."""
