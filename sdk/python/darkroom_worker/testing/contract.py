"""Runs any worker's command line against the in-memory server, and judges each rule of the protocol by name."""
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from typing import IO, List, NamedTuple, Optional, Sequence

from . import manners  # noqa: F401  its rules come after the others
from .rules import RULES, Rule
from .stage import Broken, Stage

USAGE = "darkroom-worker contract [options] -- COMMAND…"
WAIT_S = 20.0
START_S = 60.0
LOG_LINES = 12  # of the worker's output that are shown when a rule is not kept


class Verdict(NamedTuple):
    rule: Rule
    word: str  # passed, failed, not offered
    why: str
    seconds: float


def judge(command: Sequence[str], *, photo: Optional[bytes] = None, wait_s: float = WAIT_S, start_s: float = START_S,
          only: Sequence[str] = (), log: Optional[IO[bytes]] = None, tell: Optional[IO[str]] = None) -> List[Verdict]:
    """Tries a worker, which finds its server in DARKROOM_URL and its key in DARKROOM_API_KEY; a verdict for each rule.

    A rule that must be kept and is not has `failed`; of one that only should be, it is said that it is `not offered`.
    """
    verdicts: List[Verdict] = []
    with tempfile.TemporaryFile() as own:
        stage = Stage(command, log or own, photo, wait_s, start_s)
        try:
            for rule in RULES:
                if only and not any(part in rule.name for part in only):
                    continue
                verdicts.append(_try(rule, stage))
                if tell:
                    print(line(verdicts[-1]), file=tell, flush=True)
                if rule.name == RULES[0].name and verdicts[-1].why:
                    break  # nothing can be said of one that never came
        finally:
            stage.close()
    return verdicts


def _try(rule: Rule, stage: Stage) -> Verdict:
    started, why = time.monotonic(), ""
    try:
        stage.up()
        stage.clear()
        rule.run(stage)
    except Broken as broken:
        why = str(broken)
        stage.down()  # the next rule is no judge of what this one left
    word = "passed" if not why else "failed" if rule.must else "not offered"
    return Verdict(rule, word, why, time.monotonic() - started)


def line(verdict: Verdict) -> str:
    level = "must" if verdict.rule.must else "should"
    return "%-11s  %-6s  %s%s" % (verdict.word, level, verdict.rule.name, ": " + verdict.why if verdict.why else "")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The command. 0 if every rule that must be kept is, with `--strict` every rule; else 1."""
    parser = argparse.ArgumentParser(prog="darkroom-worker contract", usage=USAGE, description=__doc__)
    parser.add_argument("--strict", action="store_true", help="what only should be kept must be, too")
    parser.add_argument("--photo", metavar="FILE", help="a photograph that the model can work with, in place of a small PNG of noise")
    parser.add_argument("--only", metavar="WORDS", action="append", default=[], help="only the rules whose name has these words")
    parser.add_argument("--wait-s", type=float, default=WAIT_S, metavar="S", help="seconds that a step may take (%(default)g)")
    parser.add_argument("--start-s", type=float, default=START_S, metavar="S", help="seconds until it must have registered (%(default)g)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what starts the worker")
    given = parser.parse_args(arguments)
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("say what starts the worker, after --")
    photo = open(given.photo, "rb").read() if given.photo else None
    with tempfile.TemporaryFile() as log:
        verdicts = judge(command, photo=photo, wait_s=given.wait_s, start_s=given.start_s, only=given.only, log=log, tell=sys.stdout)
        log.seek(0)
        said = log.read().decode("utf-8", "replace").splitlines()
    bad = [verdict for verdict in verdicts if verdict.word == "failed" or given.strict and verdict.why]
    if bad and said:
        print("\nThe last that it said:\n  " + "\n  ".join(said[-LOG_LINES:]))
    print("\n%d of %d rules are kept." % (sum(not verdict.why for verdict in verdicts), len(verdicts)))
    return 1 if bad or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
