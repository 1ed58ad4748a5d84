"""A network that a training run brought, in ONNX: labels with their scores."""
import hashlib
import json
import os
import tempfile

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime reports to its makers unless told not to, before the import
import numpy as np
import onnxruntime
import PIL.Image

from darkroom_worker import ModelError, label
from darkroom_worker.cli_run import from_environment
from darkroom_worker.http import Refused

tags, batch_size = ["onnx"], 32


def init():
    """Fetch the run's model, load it, and try it on a black picture. Its checksum names the version, as promoting the run does."""
    global network, version, shape, recipe, labels
    run = os.environ.get("DARKROOM_RUN")
    if not run:
        raise ModelError("set DARKROOM_RUN to the id of a run that was promoted to this model, and DARKROOM_URL and the key as for run")
    data = fetch("/training/results/%s/model" % run)
    version = "run-" + hashlib.sha256(data).hexdigest()[:12]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        network = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError("the model of run %s is no ONNX that can be served: %s" % (run, error)) from None
    told = network.get_modelmeta().custom_metadata_map
    if len(network.get_inputs()) != 1 or network.get_inputs()[0].type != "tensor(float)":
        raise ModelError("the model of run %s does not take one tensor of floats, so no picture can be put in" % run)
    shape = network.get_inputs()[0].shape
    try:
        labels = json.loads(told.get("labels", "[]"))
        recipe = json.loads(told["input"]) if "input" in told else by_shape(shape)
        predict_batch([Black()])
    except ModelError:
        raise
    except Exception as error:
        raise ModelError("the model of run %s is no classifier of pictures: of a black one %s: %s" % (run, type(error).__name__, error)) from None


class Black:
    """A picture to try a network on."""

    def pil(self):
        return PIL.Image.new("L", (8, 8))


def fetch(path):
    """The file, which has the checksum that the server names."""
    with tempfile.TemporaryFile() as file:
        try:
            from_environment().fetch(path, file, None, lambda: True)
        except Refused as refusal:
            raise ModelError("the model cannot be fetched: %s" % refusal) from None
        file.seek(0)
        return file.read()


def by_shape(shape):
    """How a picture is put in, where the file does not say: as the input's shape suggests, from 0 to 1."""
    sides = [side for side in shape[1:] if isinstance(side, int)]
    if len(sides) == 1:
        side = round(sides[0] ** 0.5)
        return {"mode": "L", "size": [side, side], "max": 1}
    channels_last = len(sides) == 3 and sides[2] in (1, 3)
    if len(sides) != 3 or (not channels_last and sides[0] not in (1, 3)):
        raise ModelError("the input has the shape %s, and the file does not say how a picture becomes that" % shape)
    height, width, channels = sides if channels_last else (*sides[1:], sides[0])
    return {"mode": "L" if channels == 1 else "RGB", "size": [width, height], "max": 1}


def pixels(image):
    """The picture as the network takes it."""
    values = np.asarray(image.pil().convert(recipe["mode"]).resize(recipe["size"]), np.float32) * (recipe["max"] / 255)
    values = values.round() if recipe.get("whole") else values
    if len(shape) == 4:
        values = values.reshape(*values.shape[:2], -1)
        return values if shape[3] in (1, 3) else values.transpose(2, 0, 1)
    return values.reshape(-1)


def predict_batch(images, *, top: int = 3):
    """The `top` labels of each picture, the network's own choice first."""
    rows = [pixels(image) for image in images]
    parts = [rows] if not isinstance(shape[0], int) else [[row] for row in rows]  # some networks take one at a time
    answers = [network.run(None, {network.get_inputs()[0].name: np.stack(part)}) for part in parts]
    return [said(one, index, top) for one in answers for index in range(len(one[0]))]


def said(answer, index, top):
    """One picture's labels: from a classifier's own label and its scores, or from scores alone."""
    scores = np.asarray(answer[-1][index], np.float64).reshape(-1)
    if scores.min() < 0 or abs(scores.sum() - 1) > 0.01:
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    order = np.argsort(-scores, kind="stable").tolist()
    names = labels if len(labels) == len(scores) else [str(number) for number in range(len(scores))]
    chosen = str(answer[0][index]) if len(answer) > 1 and np.ndim(answer[0]) == 1 else names[order[0]]
    # Scores may be equal where they are rounded, and then the choice is the network's.
    order.sort(key=lambda number: names[number] != chosen)
    return [label(names[number], round(float(scores[number]), 6)) for number in order[:top]]
