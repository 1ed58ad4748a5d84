"""A model on photographs of this machine, without a server."""
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional

from . import expect, overlay, photographs
from .errors import InvalidResult, Undecodable, clean, explain
from .image import Image
from .model import Outcome
from .pool import Pool
from .predictor import Predictor
from .process import Listener, Spec, Task
from .testing.documents import normalise
from .testing.problems import Fault

Json = Dict[str, Any]
RESULT_BYTES_MAX = 1 << 20  # as a server takes them that is set up as usual


class Answer(NamedTuple):
    """What became of one photograph."""

    file: Path
    md5: Optional[str]
    outcome: Outcome
    differences: List[str]

    @property
    def result(self) -> Optional[Json]:
        """The result document, if there is one."""
        return json.loads(self.outcome.result) if self.outcome.result else None

    @property
    def error(self) -> Optional[str]:
        """Why there is no result, in a line."""
        error = self.outcome.error
        return "%s: %s" % (error["type"], error["message"]) if error else None

    @property
    def failed(self) -> bool:
        """Whether it has no result, or not the known one."""
        return self.outcome.kind != "succeeded" or bool(self.differences)

    def line(self) -> str:
        """It as a line of JSON."""
        said: Json = {"file": clean(str(self.file)), "md5": self.md5, "outcome": self.outcome.kind,
                      "ms": round(self.outcome.duration_s * 1000, 3), "result": self.result, "error": self.outcome.error}
        if self.differences:
            said["differences"] = self.differences
        return json.dumps(said, ensure_ascii=False)

    def card(self, folder: str) -> overlay.Card:
        """It as a part of the report, named as it lies below a folder."""
        kind, name = photographs.media_type(self.file), clean(os.path.relpath(self.file, folder))
        return overlay.Card(name, Image(str(self.file)) if kind else None, kind, self.outcome.duration_s * 1000,
                            self.result, self.error, self.differences)


class Trial(Listener):
    """A model in its processes, and what it says of photographs."""

    def __init__(self, pool: Predictor, *, params: Optional[Json] = None, timeout_s: Optional[float] = None):
        """`pool` is started; `params` are what a submission would set; a prediction that takes longer than `timeout_s` fails."""
        self._pool, self.params, self._timeout_s = pool, params or {}, timeout_s
        self.about = pool.about
        self._outcomes: Dict[str, Outcome] = {}

    def done(self, task: Task, outcome: Outcome) -> None:
        """The pool tells what became of one."""
        self._outcomes[task.key] = outcome

    def answers(self, files: Iterable[Path], known: Optional[expect.Answers] = None) -> Iterator[Answer]:
        """One answer for each file, in their order; compared with those that are known."""
        for batch in _batches(list(files), self.about["batch_size"] if self.about["batched"] else 1):
            problem = self._pool.run([Task(str(file), str(file.resolve()), media_type=photographs.media_type(file),
                                           params=self.params, limit_s=self._timeout_s) for file in batch], self)
            if problem:
                print("a batch was done one by one: %s" % problem, file=sys.stderr)
            for file in batch:
                yield _answer(file, _as_kept(file, self._outcomes.pop(str(file))), known)


def answers(model: Any, places: Iterable[Any]) -> Iterator[Answer]:
    """What the model in a file says of the photographs in files and folders: for tests of your own."""
    with started(str(model)) as pool:
        yield from Trial(pool).answers(photographs.find(map(str, places)).files)


@contextlib.contextmanager
def started(model: str) -> Iterator[Pool]:
    """A process with the model loaded in it. Raises `NotServing`."""
    pool = Pool(Spec(model))
    try:
        pool.start()
        yield pool
    finally:
        pool.close()


def refusals(pool: Predictor, known: expect.Answers, timeout_s: Optional[float] = None) -> List[str]:
    """Why a model does not give its known answers, a sentence for each photograph; none if it does."""
    return ["%s: %s" % (answer.file, answer.error or expect.told(answer.differences))
            for answer in Trial(pool, params=known.params, timeout_s=timeout_s).answers(known.results, known) if answer.failed]


def _batches(files: List[Path], size: int) -> Iterator[List[Path]]:
    return (files[start:start + size] for start in range(0, len(files), size))


def _answer(file: Path, outcome: Outcome, known: Optional[expect.Answers]) -> Answer:
    answer = Answer(file, _md5(file), outcome, [])
    expected = known.results.get(file.resolve()) if known else None
    if known and expected and answer.result is not None:
        return answer._replace(differences=expect.differences(expected[1], answer.result, known.tolerance))
    return answer


def _as_kept(file: Path, outcome: Outcome) -> Outcome:
    """What the server would make of it: a result that it would refuse has failed here, too."""
    if outcome.result is None:
        return outcome
    result = json.loads(outcome.result)
    try:
        in_pixels = any(item.get("unit") is not None for item in result["items"])
        normalise(result, RESULT_BYTES_MAX, Image(str(file)).size if in_pixels else (1, 1))
    except Fault as fault:
        return outcome._replace(kind="rejected", result=None, error=explain(InvalidResult(fault.detail)))
    except (Undecodable, ImportError):  # its size cannot be told here
        pass
    return outcome


def _md5(file: Path) -> Optional[str]:
    try:
        return expect.md5_of(file)
    except OSError:  # whose failure is told by the model
        return None
