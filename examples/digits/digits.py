"""Handwritten digits: the 1,797 pictures of 8 × 8 pixels that come with scikit-learn."""
import json
import os
import pickle
import tempfile
from typing import List, Literal, Union

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # so small a network is slower on several cores
import numpy as np
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from darkroom_worker import Reject

name, tags = "digits", ["digits", "demo"]

CLASSES = np.arange(10)
MAKE = {
    "mlp": lambda rate, seed: MLPClassifier(learning_rate_init=rate, random_state=seed),
    "sgd": lambda rate, seed: SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, random_state=seed),
}
# How a picture becomes the network's input: grey, white on black, in whole steps of 0 to 16. Who serves the file reads it there.
INPUT = {"mode": "L", "size": [8, 8], "max": 16, "whole": True}
RATES_MEASURED = 15  # a point of metrics holds 32 values: more learning rates are told together only


def parts(seed, split):
    """The pictures to learn from and those held out, then what they are: 0 to 9."""
    digits = load_digits()
    return train_test_split(digits.data, digits.target, test_size=split, random_state=seed, stratify=digits.target)


def held_out(seed=123, split=0.25):
    """The pictures that a run does not learn from, in bytes of grey, and what they are."""
    _, pixels, _, truth = parts(seed, split)
    return (pixels.reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8), truth


def train(run, *, model: Literal["mlp", "sgd"] = "mlp", learning_rate: Union[float, List[float]] = (0.0003, 0.001, 0.003),
          epochs: int = 20, seed: int = 123, split: float = 0.25, save: bool = True):
    """Tries each learning rate side by side, epoch by epoch, and keeps the one that is right most often of what was held out."""
    try:
        data = parts(seed, split)
    except ValueError as error:
        raise Reject("these digits cannot be split so: %s" % error) from error
    rates = learning_rate if isinstance(learning_rate, (list, tuple)) else [learning_rate]
    begun, tried = 0, {rate: MAKE[model](rate, seed) for rate in rates}
    if run.resume:
        with open(run.resume, "rb") as file:  # written by a service of this dataset: nobody else may
            begun, tried = pickle.load(file)
    scores = {rate: score(one, data) for rate, one in tried.items() if begun}
    for epoch in range(begun + 1, epochs + 1):
        scores, runaway = {}, None
        for rate, one in tried.items():
            try:
                scores[rate] = step(one, data)
            except ValueError as error:  # its weights have run away: the other rates go on
                runaway = error
        if not scores:
            raise Reject("no learning rate leads anywhere: %s" % runaway)
        tried = {rate: tried[rate] for rate in scores}
        run.metric(epoch, **measured(scores))
        run.checkpoint(pickle.dumps((epoch, tried)), epoch=epoch)
        run.progress(epoch / epochs)
    best = leader(scores)
    if save:
        keep(run, tried[best])
    return {"learning_rate": best, **scores[best], "accuracies": {str(rate): one["val_accuracy"] for rate, one in scores.items()},
            "held_out": tried[best].predict(data[1]).tolist()}


def step(one, data):
    """An epoch, and its score."""
    with np.errstate(all="ignore"):
        one.partial_fit(data[0], data[2], classes=CLASSES)
        return score(one, data)


def score(one, data):
    """The loss on what it learns from, and how much of what was held out it gets right."""
    learned, held_out, is_learned, is_held_out = data
    return {"loss": float(log_loss(is_learned, one.predict_proba(learned), labels=CLASSES)),
            "val_accuracy": float(one.score(held_out, is_held_out))}


def leader(scores):
    """The learning rate that is ahead."""
    return max(scores, key=lambda rate: (scores[rate]["val_accuracy"], -scores[rate]["loss"]))


def measured(scores):
    """An epoch's values: the leader's, and each learning rate's own."""
    values = dict(scores[leader(scores)])
    if len(scores) <= RATES_MEASURED:
        values.update({"%s/%g" % (what, rate): one[what] for rate, one in scores.items() for what in one})
    return values


def keep(run, best):
    """Saves it as ONNX, with what is needed to serve it."""
    options = {"zipmap": False}
    if isinstance(best, SGDClassifier):
        options["raw_scores"] = True  # as probabilities, several classes would be rounded to 1 and the first would win
    network = to_onnx(best, np.zeros((1, 64), np.float32), options={id(best): options})
    helper.set_model_props(network, {"input": json.dumps(INPUT), "labels": json.dumps([str(digit) for digit in CLASSES]),
                                     "run": run.id})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "digits.onnx")
        with open(path, "wb") as file:
            file.write(network.SerializeToString())
        run.save(path)
