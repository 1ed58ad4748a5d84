"""Runs any worker's command line against the in-memory server, and judges each rule of the protocol by name."""
from __future__ import annotations

import tempfile
import time
from typing import IO, Callable, List, NamedTuple, Optional, Sequence

from . import manners  # noqa: F401  its rules come after the others
from .rules import RULES, Rule
from .stage import Broken, Stage


class Verdict(NamedTuple):
    rule: Rule
    word: str  # passed, failed, not offered
    why: str
    seconds: float


def judge(command: Sequence[str], *, photo: Optional[bytes] = None, wait_s: float = 20.0, start_s: float = 60.0,
          only: Sequence[str] = (), log: Optional[IO[bytes]] = None, tell: Callable[[Verdict], None] = lambda verdict: None) -> List[Verdict]:
    """Tries a worker, which finds its server in DARKROOM_URL and its key in DARKROOM_API_KEY; a verdict for each rule.

    `wait_s` is how long a step may take, `start_s` how long until it must have registered, both in seconds; `photo` an image that the
    model can work with, in place of small PNGs of noise; `only` words in the names of the rules to try; `log` takes what the worker
    writes; `tell` is called with each verdict. A rule that must be kept and is not has `failed`; one that only should be is
    `not offered`.
    """
    verdicts: List[Verdict] = []
    with tempfile.TemporaryFile() as own:
        stage = Stage(command, log or own, photo, wait_s, start_s)
        try:
            for rule in RULES:
                if only and not any(part in rule.name for part in only):
                    continue
                verdicts.append(_try(rule, stage))
                tell(verdicts[-1])
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
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        why = "it sent what cannot be read: %r" % error
    if why:
        stage.down()  # the next rule is no judge of what this one left
    word = "passed" if not why else "failed" if rule.must else "not offered"
    return Verdict(rule, word, why, time.monotonic() - started)


def line(verdict: Verdict) -> str:
    level = "must" if verdict.rule.must else "should"
    return "%-11s  %-6s  %s%s" % (verdict.word, level, verdict.rule.name, ": " + verdict.why if verdict.why else "")
