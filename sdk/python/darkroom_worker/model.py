"""A user's module, loaded: what it says of itself, and its predictions, one image's fate never another's."""
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import sysconfig
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .errors import Cancelled, ModelError, Reject, Retry, explain
from .image import Image
from .params import Params
from .results import encode

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
LOCKS = ("requirements.txt", "requirements.lock", "uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock")
PLAIN_STEMS = ("model", "predict", "main", "app", "handler", "__init__")  # file names that name no model: the folder does
BATCH_SIZE = 8  # of a model that has predict_batch and names no batch_size
DESCRIPTION_CHARS = 2000
NOT_MODEL = (Path(__file__).resolve().parent, Path(sysconfig.get_paths()["stdlib"]).resolve())


class Outcome(NamedTuple):
    """What became of one image: `succeeded` (with `result`, a document as JSON), `rejected`, `retry` (with `error`,
    and `after` seconds if asked for) or `cancelled`."""

    kind: str
    result: Optional[bytes] = None
    error: Optional[Dict[str, Optional[str]]] = None
    after: Optional[float] = None
    duration_s: float = 0.0


class Model:
    """A loaded model. Make one with `load`, call `init` once, then `run` as often as wanted."""

    def __init__(self, path: Path, module: ModuleType, *, name: Optional[str] = None, version: Optional[str] = None):
        """`name` and `version` stand above what the module says."""
        self.path, self._module, self._asked_version = path, module, version
        self._config = _beside(path, "config")
        self._predict, self._predict_batch, self._setup = _entry_points(module)
        self.name = _model_name(name or self._said("name", str) or self._said("model_name", str), path)
        self.params = Params(self._predict or self._predict_batch)  # type: ignore[arg-type]
        self.batch_error: Optional[str] = None  # of the last `run`, whose batch had to be done one by one

    def init(self) -> None:
        """Load weights: the module's `init()`, or its class made and `setup()` called."""
        if self._setup is not None:
            made = self._setup()
            if made is not None:
                self._predict, self._predict_batch = made

    def _said(self, what: str, kind: Any) -> Any:
        """What the module says of itself, or the config.py beside it."""
        for place in (self._module, self._config):
            value = getattr(place, what, None)
            if isinstance(value, kind):
                return value
        return None

    @property
    def batched(self) -> bool:
        """Whether it takes several images in one call."""
        return self._predict_batch is not None

    @property
    def version(self) -> str:
        """As said, else a hash of the code loaded so far and of its lock file: after `init` it is complete."""
        said = self._asked_version or self._said("version", (str, int, float))
        return str(said) if said is not None else "code-" + _hash(self.files, self.path.parent)

    @property
    def description(self) -> Optional[str]:
        """As said, else the docstring of the module, the class or the function."""
        said = self._said("description", str) or self._module.__doc__
        for thing in (self._predict, self._predict_batch):
            owner = getattr(thing, "__self__", None)
            said = said or (owner is not None and type(owner).__doc__) or getattr(thing, "__doc__", None)
        return inspect.cleandoc(said)[:DESCRIPTION_CHARS] if said else None

    @property
    def tags(self) -> List[str]:
        """`tags`, or upstream's `model_tags`: a text or a list."""
        return _words(self._said("tags", (str, list, tuple, set)) or self._said("model_tags", (str, list, tuple, set)))

    @property
    def labels(self) -> List[str]:
        """What it can say, if it names a fixed list; read after `init`, which may load it."""
        return _words(self._said("labels", (list, tuple, set, dict)))

    @property
    def batch_size(self) -> int:
        """How many images it likes in one call."""
        said = self._said("batch_size", int)
        return max(1, int(said)) if said else BATCH_SIZE if self.batched else 1

    @property
    def files(self) -> List[Path]:
        """The model's own files, sorted: what is loaded from its folder, and its lock files."""
        folder = self.path.parent
        loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        inside = {Path(name).resolve() for name in loaded if name}
        mine = {file for file in inside if folder in file.parents and file.suffix == ".py" and not _installed(file)}
        return sorted(mine | {self.path} | {folder / lock for lock in LOCKS if (folder / lock).is_file()})

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
                    yield index, _judge(lambda: _unless_raised(result), max_bytes, each)
                return
        for index, image in enumerate(images):
            starts([index])
            yield index, _judge(lambda: self._alone(image), max_bytes)

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
    """Import a model from a file, or from the `model.py` of a folder. Raises `ModelError`, or what its import raises."""
    file = Path(path).resolve()
    if file.is_dir():
        file = file / "model.py"
    if not file.is_file():
        raise ModelError("there is no file %s" % file)
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    stem = file.stem if file.stem.isidentifier() and file.stem not in sys.modules else "darkroom_model"
    spec = importlib.util.spec_from_file_location(stem, str(file))
    if spec is None or spec.loader is None:
        raise ModelError("%s is not a Python file" % file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(stem, None)
        raise
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


def _judge(predict: Callable[[], Any], max_bytes: Optional[int], spent_s: float = 0.0) -> Outcome:
    began = time.monotonic()

    def spent() -> float:
        return round(spent_s + time.monotonic() - began, 6)

    try:
        return Outcome("succeeded", encode(predict(), max_bytes), duration_s=spent())
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


def _model_name(said: Optional[str], path: Path) -> str:
    if said is not None:
        if not NAME.fullmatch(said):
            raise ModelError("the model's name is %r; it is made of a-z, 0-9, _, . and -, at most 64, the first a letter or "
                             "digit" % said)
        return said
    stem = path.parent.name if path.stem in PLAIN_STEMS else path.stem
    return re.sub(r"[^a-z0-9_.-]+", "_", stem.lower()).lstrip("_.-")[:64] or "model"


def _beside(path: Path, name: str) -> Optional[ModuleType]:
    """The module `name` beside the model's file, if there is one that can be imported."""
    file = path.parent / (name + ".py")
    if file.is_file():
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            return module if Path(str(module.__file__)).resolve() == file else None
    return None


def _words(said: Any) -> List[str]:
    if isinstance(said, str):
        return [word.strip() for word in said.split(",")]
    words = said.values() if isinstance(said, dict) else said or []
    return sorted(map(str, words)) if isinstance(words, (set, frozenset)) else [str(word) for word in words]


def _installed(file: Path) -> bool:
    """Whether a file is Python's, a package's or ours, and so none of the model's own."""
    return "site-packages" in file.parts or any(place in file.parents for place in NOT_MODEL)


def _hash(files: Sequence[Path], folder: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
