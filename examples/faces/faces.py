"""Faces: 100 clippings of Labeled Faces in the Wild and 100 of what is behind them, 25 × 25 pixels, as they come with scikit-image."""
import json
import os
import pickle
import tempfile
from typing import Any, Dict, Literal, Union

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # so small a network is slower on several cores
import numpy as np
from onnx import helper
from skimage.data import lfw_subset
from skl2onnx import to_onnx
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from darkroom_worker import Reject

name, tags = "faces", ["faces", "demo"]

LABELS = np.array(["face", "no_face"])
SIDE = 25
MODELS = {"mlp": {"hidden": [32]}, "linear": {"hidden": []}}  # structures that have a name
ACTIVATIONS = ("relu", "tanh", "logistic")
LAYERS_MAX, UNITS_MAX = 4, 512  # of a structure
# How a photograph becomes the network's input: grey, 25 × 25, from 0 to 1. Who serves the file reads it there.
INPUT = {"mode": "L", "size": [SIDE, SIDE], "max": 1}


def clippings():
    """All pictures, in bytes of grey, and what they show."""
    pictures = (lfw_subset() * 255).round().astype(np.uint8)
    return pictures, np.repeat(LABELS, len(pictures) // 2)


def parts(seed, split):
    """The pictures to learn from and those held out, then what they show."""
    pictures, shown = clippings()
    return train_test_split(pictures, shown, test_size=split, random_state=seed, stratify=shown)


def held_out(seed=123, split=0.25):
    """The pictures that a run does not learn from, and what they show."""
    _, pictures, _, shown = parts(seed, split)
    return pictures, shown


def pixels(pictures):
    """Pictures as the network takes them."""
    return pictures.reshape(len(pictures), -1) / 255.0


def train(run, *, model: Union[str, Dict[str, Any]] = "mlp", optimizer: Literal["adam", "sgd"] = "adam", learning_rate: float = 0.001,
          epochs: int = 30, batch_size: int = 16, seed: int = 123, split: float = 0.25, mirror: bool = True, save: bool = True):
    """Trains one network. `model` is the name of a structure, or one as `{"hidden": [64, 16], "activation": "tanh"}`; with `mirror`,
    pictures are learned from as they are and as in a mirror."""
    try:
        learned, unseen, is_learned, is_unseen = parts(seed, split)
    except ValueError as error:
        raise Reject("these pictures cannot be split so: %s" % error) from error
    if mirror:
        learned, is_learned = np.concatenate([learned, learned[:, :, ::-1]]), np.concatenate([is_learned, is_learned])
    begun, network = 0, begin(structure(model), optimizer, learning_rate, min(batch_size, len(learned)), seed)
    if run.resume:
        with open(run.resume, "rb") as file:  # written by a service of this dataset: nobody else may
            begun, network = pickle.load(file)
    learned, unseen, measured = pixels(learned), pixels(unseen), None

    def scores():
        return {**measure("", network, learned, is_learned), **measure("val_", network, unseen, is_unseen)}
    for epoch in range(begun + 1, epochs + 1):
        try:
            with np.errstate(all="ignore"):
                network.partial_fit(learned, is_learned, classes=LABELS)
                measured = scores()
        except ValueError as error:  # its weights have run away
            raise Reject("this learning rate leads nowhere: %s" % error) from error
        run.metric(epoch, **measured)
        run.checkpoint(pickle.dumps((epoch, network)), epoch=epoch)
        run.progress(epoch / epochs)
    if save:
        keep(run, network)
    return {**(measured or scores()), "held_out": network.predict(unseen).tolist()}


def structure(model):
    """A network's structure from its name or its document. Raises `Reject` for what is neither."""
    try:
        told = MODELS.get(model) or json.loads(model) if isinstance(model, str) else model
    except ValueError:
        told = None
    hidden, activation = (told.get("hidden"), told.get("activation", "relu")) if isinstance(told, dict) else (None, None)
    known = isinstance(hidden, list) and len(hidden) <= LAYERS_MAX and activation in ACTIVATIONS and not told.keys() - {"hidden", "activation"}
    if not known or not all(isinstance(units, int) and 0 < units <= UNITS_MAX for units in hidden):
        raise Reject("model is %s; it may be %s, or {\"hidden\": [up to %d numbers of units to %d], \"activation\": one of %s}" % (
            json.dumps(model)[:200], ", ".join(MODELS), LAYERS_MAX, UNITS_MAX, ", ".join(ACTIVATIONS)))
    return tuple(hidden), activation


def begin(shape, optimizer, learning_rate, batch_size, seed):
    """A network that has learned nothing."""
    return MLPClassifier(shape[0], activation=shape[1], solver=optimizer, learning_rate_init=learning_rate, batch_size=batch_size, random_state=seed)


def measure(which, network, values, shown):
    """The loss on some pictures, and how much of them it gets right."""
    return {which + "loss": float(log_loss(shown, network.predict_proba(values), labels=LABELS)),
            which + "accuracy": float(network.score(values, shown))}


def keep(run, network):
    """Saves it as ONNX, with what is needed to serve it."""
    saved = to_onnx(network, np.zeros((1, SIDE * SIDE), np.float32), options={id(network): {"zipmap": False}})
    helper.set_model_props(saved, {"input": json.dumps(INPUT), "labels": json.dumps(LABELS.tolist()), "run": run.id})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "faces.onnx")
        with open(path, "wb") as file:
            file.write(saved.SerializeToString())
        run.save(path)
