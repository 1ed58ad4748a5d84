"""`darkroom-worker test`: JSON on stdout, what people want to know on stderr, and a page to look at."""
import argparse
import io
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from . import expect, overlay, photographs
from .errors import ModelError
from .offline import Answer, Trial, started

HELP = "try a model on photographs, without a server"
DESCRIPTION = """Prints a line of JSON per photograph; latencies and failures go to stderr. Ends with 1 if any photograph failed or
differs from its known answer. Folders are searched for images, whatever their names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="the model's file, or its folder")
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="files and folders; with --expect those it names are added")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the photographs and what was found on them")
    parser.add_argument("--expect", type=Path, metavar="FILE", help="known answers: recorded if the file is not there, else compared")
    parser.add_argument("--params", metavar="JSON", help="parameters, such as {\"min_score\": 0.5}")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds after which a prediction is killed and has failed")


def main(args: argparse.Namespace) -> int:
    """Run it, and return the exit code."""
    known = expect.read(args.expect) if args.expect and args.expect.exists() else None
    params = _params(args.params) if args.params or not known else known.params
    if known and params != known.params:
        raise ModelError("%s holds the answers to other parameters: %s" % (args.expect, json.dumps(known.params)))
    found = photographs.find(args.photos)
    files = found.files + [file for file in (known.results if known else {}) if file not in {f.resolve() for f in found.files}]
    if not files:
        raise ModelError("no photographs: name files, or folders that hold some")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows no Chinese shows it as JSON may, too
    began = time.monotonic()
    with started(args.model) as pool:
        trial, load_s = Trial(pool, params=params, timeout_s=args.timeout), time.monotonic() - began
        answers = _answers(trial, files, known)
    failed = sum(answer.failed for answer in answers)
    print(_summary(trial, answers, failed, found.skipped, load_s), file=sys.stderr)
    if args.html:
        args.html.write_text(overlay.render(_page(trial, answers, failed, known is not None)), encoding="utf-8")
        print("look at %s" % args.html.resolve().as_uri(), file=sys.stderr)
    if args.expect:
        _told(args.expect, trial, answers, failed, known)
    return 1 if failed else 0


def _params(text: Optional[str]) -> Dict[str, Any]:
    try:
        params = json.loads(text or "{}")
    except ValueError as error:
        raise ModelError("--params is not JSON: %s" % error) from error
    if not isinstance(params, dict):
        raise ModelError("--params is not a JSON object")
    return params


def _answers(trial: Trial, files: List[Path], known: Optional[expect.Answers]) -> List[Answer]:
    """Tell of each photograph as soon as it is done, and return all."""
    answers = []
    for answer in trial.answers(files, known):
        print(answer.line(), flush=True)
        for what in [answer.error] if answer.error else answer.differences:
            print("FAILED %s: %s" % (answer.file, what), file=sys.stderr)
        answers.append(answer)
    return answers


def _told(file: Path, trial: Trial, answers: List[Answer], failed: int, known: Optional[expect.Answers]) -> None:
    """Record the answers if there are none yet, and say what was compared."""
    if known:
        new = sum(answer.file.resolve() not in known.results for answer in answers)
        beside = "; %s without one" % _count(new, "photograph") if new else ""
        print("compared with %s in %s%s" % (_count(len(known.results), "known answer"), file, beside), file=sys.stderr)
        if failed:
            print("if the new answers are the right ones, delete %s, and they are recorded" % file, file=sys.stderr)
    elif failed:
        print("%s was not written: known answers are recorded when every photograph has one" % file, file=sys.stderr)
    else:
        expect.write(file, trial.about["model"], trial.about["version"], trial.params,
                     [(a.file, a.md5, a.result) for a in answers])  # type: ignore[misc]
        print("recorded %s in %s; from now on they are compared" % (_count(len(answers), "answer"), file), file=sys.stderr)


def _count(number: int, what: str) -> str:
    return "%d %s%s" % (number, what, "" if number == 1 else "s")


def latencies(answers: List[Answer]) -> Tuple[float, float]:
    """p50 and p95 of the seconds that predictions took, failed ones included."""
    spent = sorted(answer.outcome.duration_s for answer in answers)
    return statistics.median(spent), spent[min(len(spent) - 1, round(0.95 * len(spent)))]


def _summary(trial: Trial, answers: List[Answer], failed: int, skipped: int, load_s: float) -> str:
    p50, p95 = latencies(answers)
    return "%s %s: %s, %d failed%s; p50 %s, p95 %s; loaded in %.1f s" % (
        trial.about["model"], trial.about["version"], _count(len(answers), "photograph"), failed,
        ", %s skipped" % _count(skipped, "other file") if skipped else "", overlay.duration(p50 * 1000), overlay.duration(p95 * 1000),
        load_s)


def _page(trial: Trial, answers: List[Answer], failed: int, compared: bool) -> overlay.Page:
    p50, p95 = latencies(answers)
    facts = [("photographs", str(len(answers)), ""), ("failed or different" if compared else "failed", str(failed), "no" if failed else "ok"),
             ("p50", overlay.duration(p50 * 1000), ""), ("p95", overlay.duration(p95 * 1000), "")]
    folder = os.path.commonpath([answer.file.resolve().parent for answer in answers])
    return overlay.Page(trial.about["model"], trial.about["version"], trial.about["description"], facts,
                        [answer.card(folder) for answer in answers])
