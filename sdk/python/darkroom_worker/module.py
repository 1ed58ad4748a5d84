"""A user's module, imported: what it says of itself, whatever it is for."""
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, List, Optional, Sequence, Tuple

from .errors import ModelError

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
LOCKS = ("requirements.txt", "requirements.lock", "uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock")
PLAIN_STEMS = ("model", "predict", "train", "main", "app", "handler", "__init__")  # names that name no model: the folder does
DESCRIPTION_CHARS = 2000
NOT_MODEL = (Path(__file__).resolve().parent, Path(sysconfig.get_paths()["stdlib"]).resolve())


class UserModule:
    """An imported module, with the config.py beside it."""

    def __init__(self, path: Path, module: ModuleType, *, name: Optional[str] = None, version: Optional[str] = None):
        """`name` and `version` stand above what the module says."""
        self.path, self._module, self._asked_name, self._asked_version = path, module, name, version
        self._config = _beside(path, "config")

    def _described_by(self) -> Sequence[Optional[Callable[..., Any]]]:
        """Those whose docstrings may describe it."""
        return ()

    def _called(self, *attributes: str) -> str:
        """Its name: as asked for, as said, else that of its file. Raises `ModelError`."""
        said = self._asked_name or next(filter(None, (self._said(attribute, str) for attribute in attributes)), None)
        return _model_name(said, self.path)

    def _said(self, what: str, kind: Any) -> Any:
        """What the module says of itself, or the config.py beside it."""
        for place in (self._module, self._config):
            value = getattr(place, what, None)
            if isinstance(value, kind):
                return value
        return None

    @property
    def version(self) -> str:
        """As said, else a hash of the code loaded so far and of its lock file: after `init` it is complete."""
        said = self._asked_version or self._said("version", (str, int, float))
        return str(said) if said is not None else "code-" + _hash(self.files, self.path.parent)

    @property
    def description(self) -> Optional[str]:
        """As said, else the docstring of the module, the class or the function."""
        said = self._said("description", str) or self._module.__doc__
        for thing in self._described_by():
            owner = getattr(thing, "__self__", None)
            said = said or (owner is not None and type(owner).__doc__) or getattr(thing, "__doc__", None)
        return inspect.cleandoc(said)[:DESCRIPTION_CHARS] if said else None

    @property
    def tags(self) -> List[str]:
        """`tags`, or upstream's `model_tags`: a text or a list."""
        return words_of(self._said("tags", (str, list, tuple, set)) or self._said("model_tags", (str, list, tuple, set)))

    @property
    def files(self) -> List[Path]:
        """The model's own files, sorted: what is loaded from its folder, and its lock files."""
        folder = self.path.parent
        loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        inside = {Path(name).resolve() for name in loaded if name}
        mine = {file for file in inside if folder in file.parents and file.suffix == ".py" and not _installed(file)}
        return sorted(mine | {self.path} | {folder / lock for lock in LOCKS if (folder / lock).is_file()})


def bring_in(path: str, stem_of_folder: str) -> Tuple[Path, ModuleType]:
    """Import a file, or of a folder its `<stem_of_folder>.py`, or the file named as the folder.

    Raises `ModelError`, or what the import raises.
    """
    file = Path(path).resolve()
    if file.is_dir():
        names = [file / (stem_of_folder + ".py"), file / (file.name + ".py")]
        file = next((name for name in names if name.is_file()), names[0])
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
    return file, module


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


def words_of(said: Any) -> List[str]:
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
