"""A training module in its own process: the run that `train` is given, and what serves its parent."""
import json
import math
import os
import shutil
from typing import Any, Callable, Dict, List, Optional, Union

from . import child
from .errors import Cancelled, InvalidResult, ModelError, explain
from .model import Outcome, judge
from .module import UserModule, bring_in
from .params import Params
from .results import plain


class Run:
    """A training run, as `train` sees it: its first argument."""

    id: str
    params: Dict[str, Any]
    resume: Optional[str]
    """The path of the last checkpoint of an attempt before, or None: begin at the beginning."""

    def __init__(self, told: Dict[str, Any], server: child.Child):
        self.id, self.params, self.resume = told["id"], told["params"], told["resume"]
        self._key, self._folder, self._server, self._count = told["key"], told["folder"], server, 0

    @property
    def cancelled(self) -> bool:
        """Whether the run is no longer ours; everything else here raises `Cancelled` then."""
        return self._key in self._server.cancelled

    def metric(self, epoch: int, **values: float) -> None:
        """Record what was measured after an epoch: `run.metric(epoch=3, loss=0.2, val_accuracy=0.9)`."""
        numbers = {name: float(plain(value, "/" + name)) for name, value in values.items()}
        for name, number in numbers.items():
            if not math.isfinite(number):
                raise InvalidResult("/%s is %s, which is no number to keep" % (name, number))
        self._tell({"metric": {"epoch": int(epoch), "values": numbers}})

    def progress(self, fraction: Optional[float], note: Optional[str] = None) -> None:
        """Say how far the run is (0 to 1)."""
        self._still_ours()
        self._server.report(self._key, fraction, note)

    def checkpoint(self, state: Union[str, "os.PathLike[str]", bytes], epoch: Optional[int] = None) -> None:
        """Keep a file, or bytes, from which the next attempt goes on if this one dies: it finds it in `run.resume`."""
        self._tell({"checkpoint": self._keep(state), "epoch": epoch})

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Keep the trained model's file. The last one counts, if the run succeeds."""
        self._tell({"model": self._keep(path), "name": os.path.basename(os.fspath(path))})

    def _keep(self, state: Union[str, "os.PathLike[str]", bytes]) -> str:
        """A copy, which stays as it is while it is uploaded."""
        self._count += 1
        copy = os.path.join(self._folder, "upload-%d" % self._count)
        if isinstance(state, (bytes, bytearray, memoryview)):
            with open(copy, "xb") as file:
                file.write(state)
        else:
            shutil.copyfile(state, copy)
        return copy

    def _tell(self, message: Dict[str, Any]) -> None:
        self._still_ours()
        self._server.tell(message)

    def _still_ours(self) -> None:
        if self.cancelled:
            raise Cancelled("the run is no longer ours")


class Trainer(UserModule):
    """A loaded module with `train(run, …)`."""

    def __init__(self, path: str, name: Optional[str], version: Optional[str]):
        super().__init__(*bring_in(path, "train"), name=name, version=version)
        train = getattr(self._module, "train", None)
        if not callable(train):
            raise ModelError("the module needs a function train(run)")
        self._train: Callable[..., Any] = train
        self.name, self.params = self._called("dataset", "name"), Params(train)
        init = getattr(self._module, "init", None)
        if callable(init):
            init()

    def _described_by(self) -> List[Any]:
        return [self._train]

    def about(self) -> Dict[str, Any]:
        """All that a registration says of it."""
        return {"dataset": self.name, "version": self.version, "description": self.description, "tags": self.tags,
                "params_schema": self.params.schema(), "files": [str(file) for file in self.files]}

    def train(self, run: Run) -> Any:
        """Trains, and returns what the run came to."""
        return self._train(run, **self.params.arguments(run.params))


class Child(child.Child):
    """Serves one parent, a run at a time."""

    def serve(self, asked: Dict[str, Any]) -> int:
        try:
            trainer = Trainer(asked["path"], asked["name"], asked["version"])
            about = trainer.about()
        except BaseException as error:
            self.tell({"failed": explain(error)})
            return 1
        return self.serve_batches({"ready": about}, lambda order: self.run(trainer, order))

    def run(self, trainer: Trainer, order: Dict[str, Any]) -> None:
        """One run."""
        run = Run(order, self)
        outcome: Outcome = judge(lambda: json.dumps(plain(trainer.train(run)), allow_nan=False).encode())
        self.cancelled.discard(order["key"])
        told = {"done": 0, "kind": outcome.kind, "error": outcome.error, "after": outcome.after, "s": outcome.duration_s}
        self.tell(told, outcome.result or b"")


def main(arguments: List[str]) -> int:
    """`arguments`: the module's path, name and version as one JSON object."""
    return child.begin(arguments, Child)

