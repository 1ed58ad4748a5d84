"""Text in photographs, Latin and Chinese (RapidOCR, PP-OCRv6)."""
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime reports to its makers unless told not to, before the import
from rapidocr import RapidOCR

from darkroom_worker import text

name, version, tags = "ocr", "ppocrv6-small-1", ["text"]


def init():
    """Load the networks, once."""
    global engine
    engine = RapidOCR(params={"Global.log_level": "critical"})


def predict(image, *, min_score: float = 0.8):
    """One item per line of text, with its four corners."""
    found = engine(image.array()[:, :, ::-1], text_score=min_score)  # it takes blue first
    if found.txts is None:
        return []
    return [text(line, round(float(score), 4), polygon, of=image)
            for line, score, polygon in zip(found.txts, found.scores, found.boxes.tolist())]
