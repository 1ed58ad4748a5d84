"""Frontal faces (OpenCV Haar cascade)."""
import os

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 28))  # must be set before the import
import cv2

from darkroom_worker import Reject, box

name, version, tags, labels = "face_detect", "haar-1", ["faces", "fast"], ["face"]

# Of the three frontal cascades alt2 finds the same faces and takes the fewest other things for one.
CASCADE = "haarcascade_frontalface_alt2.xml"
LONGEST = 1280  # pixels: larger photographs are searched in a smaller copy
SMALLEST = 0.05  # of the shorter side: smaller faces are not looked for


def init():
    """Load the cascade, once."""
    global cascade
    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + CASCADE)


def decode(image):
    """Greyscale pixels of the upright image (OpenCV turns it by its EXIF orientation)."""
    try:
        grey = cv2.imread(image, cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise Reject("not a readable image: %s" % error) from error
    if grey is None:
        raise Reject("not a readable image")
    return grey


def predict(image):
    """One box per face. A cascade says yes or no, so there is no score."""
    grey = decode(image)
    scale = min(1, LONGEST / max(grey.shape))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    smallest = max(24, round(SMALLEST * min(grey.shape)))
    faces = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest))
    items = [box(x, y, x + w, y + h, "face", of=grey) for x, y, w, h in faces]
    return {"items": items, "fields": {"faces": len(items)},
            "summary": "1 face" if len(items) == 1 else "%d faces" % len(items)}
