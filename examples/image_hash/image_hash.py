"""Perceptual hashes: photographs that look alike differ in few bits (average, difference, DCT)."""
from functools import lru_cache
from math import cos, pi
from statistics import mean, median

from PIL import Image

from darkroom_worker import hash_

name, version, tags = "image_hash", "hash-1", ["hashes", "fast"]

SIDE = 8  # bits a side: 64 in all
DCT_SIDE = 32  # pixels a side of what the DCT is taken of


def pixels(grey, width, height):
    """Rows of the picture, made as small as this."""
    small = grey.resize((width, height), Image.Resampling.LANCZOS).tobytes()
    return [small[start:start + width] for start in range(0, len(small), width)]


def digits(bits):
    """64 bits as 16 hexadecimal digits, the first bit highest."""
    return "%016x" % int("".join("1" if bit else "0" for bit in bits), 2)


def average_hash(grey):
    """Which of 8 × 8 pixels are brighter than the mean."""
    values = [value for row in pixels(grey, SIDE, SIDE) for value in row]
    middle = mean(values)
    return digits(value > middle for value in values)


def difference_hash(grey):
    """Which of 8 × 8 pixels have a brighter one to their right."""
    return digits(right > left for row in pixels(grey, SIDE + 1, SIDE) for left, right in zip(row, row[1:]))


@lru_cache(maxsize=None)
def waves():
    """The lowest frequencies of a DCT-II."""
    return [[cos(pi * k * (2 * n + 1) / (2 * DCT_SIDE)) for n in range(DCT_SIDE)] for k in range(SIDE)]


def perceptual_hash(grey):
    """Which of the 8 × 8 lowest frequencies are above their median."""
    rows = pixels(grey, DCT_SIDE, DCT_SIDE)
    across = [[sum(map(float.__mul__, wave, map(float, row))) for wave in waves()] for row in rows]
    lowest = [sum(map(float.__mul__, wave, column)) for wave in waves() for column in zip(*across)]
    middle = median(lowest)
    return digits(value > middle for value in lowest)


def predict(image):
    """Three hashes of the upright picture, bit for bit those of the package ImageHash."""
    grey = image.pil().convert("L")
    hashes = {"ahash64": average_hash(grey), "dhash64": difference_hash(grey), "phash64": perceptual_hash(grey)}
    return {"items": [hash_(value, algo) for algo, value in hashes.items()], "summary": "phash " + hashes["phash64"]}
