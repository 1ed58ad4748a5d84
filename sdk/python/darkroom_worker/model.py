"""A user's module, loaded: what it says of itself, and its predictions, one image's fate never another's."""
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .errors import Cancelled, ModelError, Reject, Retry, explain
from .image import Image
from .module import UserModule, bring_in, words_of
from .params import Params
from .results import encode

BATCH_SIZE = 8  # of a model that has predict_batch and names no batch_size


class Outcome(NamedTuple):
    """What became of one image: `succeeded` (with `result`, a document as JSON), `rejected`, `retry` (with `error`,
    and `after` seconds if asked for) or `cancelled`."""

    kind: str
    result: Optional[bytes] = None
    error: Optional[Dict[str, Optional[str]]] = None
    after: Optional[float] = None
    duration_s: float = 0.0


class Model(UserModule):
    """A loaded model. Make one with `load`, call `init` once, then `run` as often as wanted."""

    def __init__(self, path: Path, module: ModuleType, *, name: Optional[str] = None, version: Optional[str] = None):
        """`name` and `version` stand above what the module says."""
        super().__init__(path, module, name=name, version=version)
        self._predict, self._predict_batch, self._setup = _entry_points(module)
        self.name = self._called("name", "model_name")
        self.params = Params(self._predict or self._predict_batch)  # type: ignore[arg-type]
        self.batch_error: Optional[str] = None  # of the last `run`, whose batch had to be done one by one

    def _described_by(self) -> Sequence[Optional[Callable[..., Any]]]:
        return self._predict, self._predict_batch

    def init(self) -> None:
        """Load weights: the module's `init()`, or its class made and `setup()` called."""
        if self._setup is not None:
            made = self._setup()
            if made is not None:
                self._predict, self._predict_batch = made

    @property
    def batched(self) -> bool:
        """Whether it takes several images in one call."""
        return self._predict_batch is not None

    @property
    def labels(self) -> List[str]:
        """What it can say, if it names a fixed list; read after `init`, which may load it."""
        return words_of(self._said("labels", (list, tuple, set, dict)))

    @property
    def batch_size(self) -> int:
        """How many images it likes in one call."""
        said = self._said("batch_size", int)
        return max(1, int(said)) if said else BATCH_SIZE if self.batched else 1

    def about(self) -> Dict[str, Any]:
        """All that a registration says of the model."""
        return {"model": self.name, "version": self.version, "description": self.description, "tags": self.tags,
                "labels": self.labels, "params_schema": self.params.schema(), "batch_size": self.batch_size,
                "batched": self.batched, "files": [str(file) for file in self.files]}

    def run(self, images: Sequence[Image], max_bytes: Optional[int] = None,
            starts: Callable[[Sequence[int]], None] = lambda indexes: None) -> Iterator[Tuple[int, Outcome]]:
        """Predict, and yield (index, outcome) as each ends.

        A batch that raises, or answers with the wrong length, is done again one by one, so that one bad image fails
        alone. `starts` is told the indexes of the images of each call of the model, before it.
        """
        self.batch_error = None
        if self._predict_batch is not None and (len(images) > 1 or self._predict is None):
            results = self._together(images, starts)
            if results is not None:
                each = results[1] / len(images)
                for index, result in enumerate(results[0]):
                    yield index, judge(lambda: encode(_unless_raised(result), max_bytes), each)
                return
        for index, image in enumerate(images):
            starts([index])
            yield index, judge(lambda: encode(self._alone(image), max_bytes))

    def _together(self, images: Sequence[Image], starts: Callable[[Sequence[int]], None]) -> Optional[Tuple[List[Any], float]]:
        """The results of one call and its seconds; None when the images must be done one by one."""
        if len(images) == 1 or (self.params.any and any(image.params != images[0].params for image in images)):
            return None
        starts(range(len(images)))
        began = time.monotonic()
        try:
            results = self._batch(images)
        except BaseException as error:
            self.batch_error = "%s: %s" % (type(error).__name__, error)
            print("a batch of %d failed and is done one by one: %s" % (len(images), self.batch_error), file=sys.stderr)
            return None
        return results, time.monotonic() - began

    def _batch(self, images: Sequence[Image]) -> List[Any]:
        assert self._predict_batch is not None
        paths = [self.params.argument(image) for image in images]
        arguments = self.params.arguments(images[0].params)
        results = self._predict_batch(paths, **arguments)
        if isinstance(results, dict):  # upstream style: by name
            by_name = {str(name): result for name, result in results.items()}
            results = [by_name[str(path)] for path in paths if str(path) in by_name]
        elif not isinstance(results, list):
            results = list(results)
        if len(results) != len(images):
            raise ModelError("predict_batch got %d images and answered %d results" % (len(images), len(results)))
        return results

    def _alone(self, image: Image) -> Any:
        if self._predict is None:
            return _unless_raised(self._batch([image])[0])
        return self._predict(self.params.argument(image), **self.params.arguments(image.params))


def load(path: str, *, name: Optional[str] = None, version: Optional[str] = None) -> Model:
    """Import a model from a file, or from a folder: its `model.py`, or the file named as it is.

    Raises `ModelError`, or what its import raises.
    """
    file, module = bring_in(path, "model")
    return Model(file, module, name=name, version=version)


Function = Optional[Callable[..., Any]]


def _entry_points(module: ModuleType) -> Tuple[Function, Function, Optional[Callable[[], Any]]]:
    """predict, predict_batch, and what makes them ready."""
    predict, batch = _functions(module)
    if predict or batch:
        return predict, batch, _answering_nothing(getattr(module, "init", None))
    classes = [thing for thing in vars(module).values()
               if isinstance(thing, type) and thing.__module__ == module.__name__ and any(_functions(thing, "run"))]
    leaves = [kind for kind in classes if not any(kind in other.__mro__[1:] for other in classes)]
    if len(leaves) != 1:
        which = "none" if not leaves else ", ".join(kind.__name__ for kind in leaves)
        raise ModelError("the module needs predict(image), predict_batch(images) or one class with predict; of such "
                         "classes it has %s" % which)
    kind = leaves[0]

    def make() -> Tuple[Function, Function]:
        made = kind()
        if hasattr(made, "setup"):
            made.setup()
        return _functions(made, "run")

    unbound = [function and _without_self(function) for function in _functions(kind, "run")]
    return unbound[0], unbound[1], make


def _answering_nothing(init: Function) -> Optional[Callable[[], None]]:
    """`init` with its answer dropped: upstream's returns True."""
    if init is None:
        return None

    def ready() -> None:
        init()
    return ready


def _functions(owner: Any, other_name: str = "predict") -> Tuple[Function, Function]:
    found = [next((f for f in (getattr(owner, name, None) for name in names) if callable(f)), None)
             for names in (("predict", other_name), ("predict_batch",))]
    return found[0], found[1]


def _without_self(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same signature as the bound method will have."""
    return function.__get__(object())  # type: ignore[no-any-return]


def judge(work: Callable[[], bytes], spent_s: float = 0.0) -> Outcome:
    """What becomes of an image, or a run: its result as JSON, or how it failed. `spent_s` is what was spent on it before."""
    began = time.monotonic()

    def spent() -> float:
        return round(spent_s + time.monotonic() - began, 6)

    try:
        return Outcome("succeeded", work(), duration_s=spent())
    except Cancelled:
        return Outcome("cancelled", duration_s=spent())
    except Reject as error:
        return Outcome("rejected", error=explain(error), duration_s=spent())
    except Retry as error:
        return Outcome("retry", error=explain(error), after=error.after, duration_s=spent())
    except BaseException as error:  # SystemExit and the like are the model's failure, not ours
        return Outcome("retry", error=explain(error), duration_s=spent())


def _unless_raised(result: Any) -> Any:
    """An exception in a batch's list is that image's failure."""
    if isinstance(result, BaseException):
        raise result
    return result
