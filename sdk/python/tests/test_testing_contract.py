"""The contract test passes the workers of the documents, and notices each thing that a worker may do wrong."""
from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from darkroom_worker.testing import Server, png
from darkroom_worker.testing.contract import RULES, Verdict, judge, line

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "examples" / "any_language"
PYTHON = FOLDER / "worker.py"
BUILD_WAIT_S = 120  # Go compiles its library once
LANGUAGES = {"Python": ("worker.py", [sys.executable, "-u"]), "Node": ("worker.mjs", ["node"]), "shell": ("worker.sh", ["bash"]), "Go": ("worker.go", [])}

STEP_S = 60.0  # for each step of a worker that keeps the rules, on a slow machine
PARTS = 3  # a trial takes as long as its longest part
MUSTS = [rule.name for rule in RULES if rule.must]
ENDS = ["finishes and leaves on SIGTERM", "finishes and ends when the server says `drain`"]  # which those of the page keep as well
AT_ONCE = "gives back what it holds on a second SIGTERM"  # bash hears a signal only when what it waits for has ended
KEPT = {language: MUSTS + ENDS + ([AT_ONCE] if language != "shell" else []) for language in LANGUAGES}


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
    with ThreadPoolExecutor(20) as pool:
        yield pool


class Trial:
    """One worker judged in parts, side by side."""

    def __init__(self, pool: ThreadPoolExecutor, rules: List[str], starts: Callable[[], List[str]]) -> None:
        started = pool.submit(starts)
        self._parts = [pool.submit(lambda part=part: judge(started.result(), only=part, wait_s=STEP_S)) for part in (rules[n::PARTS] for n in range(PARTS))]

    def verdicts(self) -> List[Verdict]:
        return [verdict for part in self._parts for verdict in part.result()]


@pytest.fixture(scope="module")
def judged(trials: ThreadPoolExecutor, tmp_path_factory: Any) -> Dict[str, Trial]:
    """What is judged of each worker: of the whole ones all, of the others what must be kept."""
    folder = tmp_path_factory.mktemp("languages")
    model = folder / "a_size.py"
    model.write_text("def predict(image):\n    return {'bytes': len(image.read())}\n")
    whole = {"photo_facts": photo_facts, "darkroom-worker run": lambda: [sys.executable, "-m", "darkroom_worker", "run", str(model)]}
    tried = {name: Trial(trials, [rule.name for rule in RULES], starts) for name, starts in whole.items()}
    return dict(tried, **{name: Trial(trials, KEPT[name], partial(command, name, folder)) for name in LANGUAGES})


# what a worker may do wrong, as a change of the one in Python, and the rule that must notice
WRONG: Dict[str, Tuple[str, str, str]] = {
    "no key": ('"Authorization"', '"X-Other"', "registers with its key"),
    "a lease of its own": ('"lease_no": job["lease_no"]})', '"lease_no": 7})', "completes what it claims"),
    "no waiting": ('"wait_s": 25', '"wait_s": 0', "claims again only when"),
    "no beats": ("threading.Thread(target=beat, daemon=True).start()", "", "beats while it works"),
    "beats of nothing": ('"jobs": list(held)', '"jobs": []', "beats while it works"),
    "the key to anybody": ("if request.full_url.startswith(URL):", "if True:", "sends its key to this host only"),
    "the key along redirects": ("add_unredirected_header", "add_header", "sends its key to this host only"),
    "no patience": ("if code < 500 and code != 429:", "if True:", "tries again what is answered 503"),
    "haste": ('time.sleep(int(headers.get("Retry-After") or 1))', "pass", "tries again what is answered 503"),
    "no second try": ("except (OSError, ValueError, http.client.HTTPException) as error:", "except ZeroDivisionError as error:", "when the connection is lost"),
    "no new session": ("if code == 410:", "if False:", "registers again on 410"),
    "no error told": ("except Exception as error:", "except ZeroDivisionError as error:", "says what failed"),
    "one instance": ('"instance": str(uuid.uuid4())', '"instance": str(uuid.UUID(int=7))', "is another instance"),
    "another claim": ("    while True:\n        try:\n            with",
                      "    while True:\n        request.data = json.dumps(dict(body, claim_id=str(uuid.uuid4()))).encode() if body and \"claim_id\" in body else request.data\n"
                      "        try:\n            with", "repeats a claim"),
    "deaf to Retry-After": ('int(headers.get("Retry-After") or 1)', "0.2", "waits as long as Retry-After"),
    "a typo": ('"wait_s": 25', '"wait": 25', "sends nothing that the server cannot read"),
    "a field demanded": ("return json.load(answer) if body else answer.read()",
                         'return (lambda told: 1 / 0 if "x_later" in told else told)(json.load(answer)) if body else answer.read()', "ignores fields"),
    "deaf to SIGTERM": ("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "finishes and leaves on SIGTERM"),
    "ends in the middle": ("    if again or not held:", "    if True:", "finishes and leaves on SIGTERM"),
    "deaf to drain": ('["drain"] and not ending', '["drain"] is None', "finishes and ends when the server says `drain`"),
    "holds on": ("    if again or not held:", "    if not held:", "gives back what it holds on a second SIGTERM"),
    "stops at a refusal": ('**held[0])]})', '**held[0])]})["items"][0]["state"] or 1 / 0', "goes on when its result is refused"),
    "stops at a lost lease": ('**held[0])]})', '**held[0])]})["items"][0]["state"] or 1 / 0', "goes on when a lease was lost"),
}


@pytest.fixture(scope="module")
def noticed(trials: ThreadPoolExecutor, judged: Dict[str, Trial], tmp_path_factory: Any) -> Dict[str, Any]:
    good, folder = PYTHON.read_text(), tmp_path_factory.mktemp("wrong")

    def trial(name: str) -> List[Verdict]:
        before, after, rule = WRONG[name]
        assert good.count(before) == 1, "%r is not once in %s" % (before, PYTHON)
        file = folder / (name.replace(" ", "_") + ".py")
        file.write_text(good.replace(before, after))
        return judge([sys.executable, "-u", str(file)], only=[rule], wait_s=6, start_s=6 if rule == RULES[0].name else STEP_S)
    return {name: trials.submit(trial, name) for name in WRONG}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_worker_does_wrong_is_noticed(noticed: Dict[str, Any], name: str) -> None:
    verdict, = noticed[name].result()
    assert verdict.word == ("failed" if verdict.rule.must else "not offered"), line(verdict)
    assert verdict.why


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_worker_of_the_page_keeps_what_must_be_kept_and_ends_well(judged: Dict[str, Trial], language: str) -> None:
    verdicts = judged[language].verdicts()
    assert len(verdicts) == len(KEPT[language]) and not [line(verdict) for verdict in verdicts if verdict.why]


@pytest.mark.parametrize("name", ["photo_facts", "darkroom-worker run"])
def test_a_whole_worker_keeps_every_rule(judged: Dict[str, Trial], name: str) -> None:
    verdicts = judged[name].verdicts()
    assert len(verdicts) == len(RULES) and not [line(verdict) for verdict in verdicts if verdict.why]


def test_photo_facts_sees_a_photograph_upright() -> None:
    command = photo_facts()
    with Server() as server:
        job = server.add((ROOT / "examples/photos/astronaut_sideways.jpg").read_bytes(), model="photo_facts")
        with subprocess.Popen(command, env=dict(os.environ, **server.environment()), stdout=subprocess.DEVNULL) as worker:
            try:
                document = server.wait(job, timeout_s=STEP_S).result
            finally:
                worker.kill()
    assert document is not None
    fields, items = document["fields"], document["items"]
    assert (fields["width"], fields["height"]) == job.photo.upright
    assert 0 < fields["brightness"] < 1 and items[0]["label"] == "grey" and items[-1]["algo"] == "thumbhash"


# a predict that does what the job's params say
WILD = {
    "Python": ('return {"fields": {"bytes": len(image)}, "summary": "%d bytes" % len(image)}',
               'return {"raise": lambda: 1 / 0, "nan": lambda: float("nan"), "object": object, "large": lambda: "x" * 2000000, "good": lambda: 1}[params["do"]]()'),
    "Node": ("return { fields: { bytes: image.length }, summary: `${image.length} bytes` };",
             'return { raise: () => null.x, nan: () => 1n, object: () => undefined, large: () => "x".repeat(2000000), good: () => 1 }[params.do]();'),
    "shell": ("jq -n --argjson bytes \"$(($(wc -c < \"$1\")))\" '{fields: {bytes: $bytes}, summary: \"\\($bytes) bytes\"}'",
              'case $2 in *raise*) no-such-command ;; *nan*) echo "{" ;; *object*) ;; *large*) jq -n \'"x" * 2000000\' ;; *) echo 1 ;; esac'),
}


@pytest.mark.parametrize("language", WILD)
def test_whatever_predict_does_harms_no_other(tmp_path: pathlib.Path, language: str) -> None:
    runs, (before, after) = command(language, tmp_path), WILD[language]
    good = pathlib.Path(runs[-1]).read_text()
    assert good.count(before) == 1
    wild = tmp_path / pathlib.Path(runs[-1]).name
    wild.write_text(good.replace(before, after))
    with Server() as server:
        jobs = [server.add(png(n), model="image_size", params={"do": do}, max_attempts=1) for n, do in enumerate(("raise", "nan", "object", "large", "good"))]
        with subprocess.Popen(runs[:-1] + [str(wild)], env=dict(os.environ, **server.environment()), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as worker:
            try:
                assert server.wait(jobs[-1], timeout_s=STEP_S).state == "succeeded"
            finally:
                worker.terminate()
    for job in jobs[:-1]:
        assert job.state == "failed" and job.error and job.error["message"], job.params
