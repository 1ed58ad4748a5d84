"""The contract test passes the workers of the documents, and notices each thing that a worker may do wrong."""
from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from darkroom_worker.testing import Server
from darkroom_worker.testing.contract import RULES, Verdict, judge, line

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "examples" / "any_language"
PYTHON = FOLDER / "worker.py"
BUILD_WAIT_S = 120  # Go compiles its library once
LANGUAGES = {"Python": ("worker.py", [sys.executable, "-u"]), "Node": ("worker.mjs", ["node"]), "shell": ("worker.sh", ["bash"]), "Go": ("worker.go", [])}

MUSTS = [rule.name for rule in RULES if rule.must]


def command(language: str, folder: pathlib.Path) -> List[str]:
    """What starts this worker; skips, and says so, where that cannot be done here."""
    file, runs = LANGUAGES[language]
    for needed in {"shell": ["bash", "curl", "jq"], "Go": ["go"]}.get(language, runs[:1]):
        if not shutil.which(needed):
            pytest.skip("NOT TRIED: the worker in %s, for there is no %s here" % (language, needed))
    if language == "Go":
        runs, source = [str(folder / "worker")], str(FOLDER / file)
        environment = dict({"GOCACHE": str(folder / "cache")}, **os.environ, GO111MODULE="off")
        subprocess.run(["go", "build", "-o", runs[0], source], env=environment, check=True, timeout=BUILD_WAIT_S)
        return runs
    return runs + [str(FOLDER / file)]


def photo_facts() -> List[str]:
    """What starts the worker in Node, with its packages installed."""
    source, folder = ROOT / "examples" / "photo_facts", ROOT / "target" / "photo_facts"
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        shutil.copy(file, folder)
    lock, installed = (folder / "package-lock.json").read_bytes(), folder / "installed"
    if not installed.exists() or installed.read_bytes() != lock:
        if not shutil.which("npm"):
            pytest.skip("NOT TRIED: photo_facts, for there is no npm here")
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, timeout=BUILD_WAIT_S)
        if done.returncode:
            pytest.skip("NOT TRIED: photo_facts, for npm cannot fetch its packages: %s" % done.stderr.decode()[-300:])
        installed.write_bytes(lock)
    return ["node", str(folder / "worker.mjs")]


@pytest.fixture(scope="module")
def trials() -> Iterator[ThreadPoolExecutor]:
    """Where workers are tried side by side, for a trial mostly waits."""
    with ThreadPoolExecutor(12) as pool:
        yield pool


@pytest.fixture(scope="module")
def verdicts(trials: ThreadPoolExecutor, tmp_path_factory: Any) -> Dict[str, Any]:
    """What is judged of each language's worker."""
    folder = tmp_path_factory.mktemp("languages")

    def trial(language: str) -> List[Verdict]:
        return judge(command(language, folder), only=MUSTS)
    model = folder / "a_size.py"
    model.write_text("def predict(image):\n    return {'bytes': len(image.read())}\n")
    package = [sys.executable, "-m", "darkroom_worker", "run", str(model)]
    whole = {"photo_facts": trials.submit(lambda: judge(photo_facts())), "darkroom-worker run": trials.submit(judge, package)}
    return dict(whole, **{language: trials.submit(trial, language) for language in LANGUAGES})


# what a worker may do wrong, as a change of the one in Python, and the rule that must notice
WRONG: Dict[str, Tuple[str, str, str]] = {
    "no key": ('"Authorization"', '"X-Other"', "registers with its key"),
    "a lease of its own": ('"lease_no": job["lease_no"]}\n', '"lease_no": 7}\n', "completes what it claims"),
    "no waiting": ('"wait_s": 25', '"wait_s": 0', "claims again only when"),
    "no beats": ("threading.Thread(target=beat, daemon=True).start()", "", "beats while it works"),
    "beats of nothing": ("for i, n in list(held.items())", "for i, n in []", "beats while it works"),
    "the key to anybody": ("if url.startswith(URL):", "if True:", "sends its key to this host only"),
    "the key along redirects": ("add_unredirected_header", "add_header", "sends its key to this host only"),
    "no patience": ("if error.code < 500 and error.code != 429:", "if True:", "tries again what is answered 503"),
    "haste": ("time.sleep(wait_s)", "pass", "tries again what is answered 503"),
    "no second try": ("except (OSError, ValueError, http.client.HTTPException) as error:", "except ZeroDivisionError as error:", "when the connection is lost"),
    "no new session": ("if error.code != 410:", "if True:", "registers again on 410"),
    "no error told": ("except Exception as error:\n        outcome", "except ZeroDivisionError as error:\n        outcome", "says what failed"),
    "one instance": ("str(uuid.uuid4()), \"batch_max\"", "str(uuid.UUID(int=7)), \"batch_max\"", "is another instance"),
    "another claim": ('url, data = urllib.parse.urljoin(URL, path), json.dumps(body).encode() if body else None\n    while True:\n',
                      'url = urllib.parse.urljoin(URL, path)\n    while True:\n        data = json.dumps(dict(body, claim_id=str(uuid.uuid4())) if body and "claim_id" in body else body).encode() if body else None\n',
                      "repeats a claim"),
    "deaf to Retry-After": ('int(error.headers.get("Retry-After") or 1)', "0.2", "waits as long as Retry-After"),
    "a typo": ('"wait_s": 25', '"wait": 25', "sends nothing that the server cannot read"),
    "a field demanded": ('return answer.read() if method == "GET" else json.load(answer)',
                         'return answer.read() if method == "GET" else (lambda told: 1 / 0 if "x_later" in told else told)(json.load(answer))', "ignores fields"),
    "stops at a refusal": ('"items": [attempt(job)]})', '"items": [attempt(job)]})["items"][0]["state"] or 1 / 0', "goes on when its result is refused"),
    "stops at a lost lease": ('"items": [attempt(job)]})', '"items": [attempt(job)]})["items"][0]["state"] or 1 / 0', "goes on when a lease was lost"),
}


@pytest.fixture(scope="module")
def noticed(trials: ThreadPoolExecutor, verdicts: Dict[str, Any], tmp_path_factory: Any) -> Dict[str, Any]:
    good, folder = PYTHON.read_text(), tmp_path_factory.mktemp("wrong")

    def trial(name: str) -> List[Verdict]:
        before, after, rule = WRONG[name]
        assert good.count(before) == 1, "%r is not once in %s" % (before, PYTHON)
        file = folder / (name.replace(" ", "_") + ".py")
        file.write_text(good.replace(before, after))
        return judge([sys.executable, "-u", str(file)], only=[rule], wait_s=6, start_s=6)
    return {name: trials.submit(trial, name) for name in WRONG}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_worker_does_wrong_is_noticed(noticed: Dict[str, Any], name: str) -> None:
    verdict, = noticed[name].result()
    assert verdict.word == ("failed" if verdict.rule.must else "not offered"), line(verdict)
    assert verdict.why


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_worker_of_the_page_keeps_what_must_be_kept(verdicts: Dict[str, Any], language: str) -> None:
    judged = verdicts[language].result()
    assert len(judged) == len(MUSTS) and not [line(verdict) for verdict in judged if verdict.word == "failed"]


@pytest.mark.parametrize("name", ["photo_facts", "darkroom-worker run"])
def test_a_whole_worker_keeps_every_rule(verdicts: Dict[str, Any], name: str) -> None:
    judged = verdicts[name].result()
    assert len(judged) == len(RULES) and not [line(verdict) for verdict in judged if verdict.why]


def test_photo_facts_sees_a_photograph_upright() -> None:
    command = photo_facts()
    with Server() as server:
        job = server.add((ROOT / "examples/photos/astronaut_sideways.jpg").read_bytes(), model="photo_facts")
        with subprocess.Popen(command, env=dict(os.environ, **server.environment()), stdout=subprocess.DEVNULL) as worker:
            try:
                document = server.wait(job, timeout_s=20).result
            finally:
                worker.kill()
    assert document is not None
    fields, items = document["fields"], document["items"]
    assert (fields["width"], fields["height"]) == job.photo.upright
    assert 0 < fields["brightness"] < 1 and items[0]["label"] == "grey" and items[-1]["algo"] == "thumbhash"
