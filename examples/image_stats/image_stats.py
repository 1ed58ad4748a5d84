"""Brightness, contrast, sharpness, entropy, colours."""
from collections import Counter

from PIL import Image, ImageFilter, ImageStat, UnidentifiedImageError

from darkroom_worker import Reject, label

SIDE = 512  # pixels: larger images are measured on a copy this long, so that their numbers compare
LAPLACE = ImageFilter.Kernel((3, 3), [0, 1, 0, 1, -4, 1, 0, 1, 0], scale=2, offset=128)
HUES = [(15, "red"), (45, "orange"), (70, "yellow"), (170, "green"), (200, "cyan"), (260, "blue"), (300, "purple"),
        (345, "pink"), (360, "red")]  # a colour, and the degrees up to which it goes
COLOURS = ["black", "white", "grey", "brown", *dict.fromkeys(colour for _, colour in HUES)]

name, version, tags, labels = "image_stats", "stats-1", ["colours", "fast"], ["dark", "bright", *COLOURS]


def decode(image):
    """Any image as 8-bit RGB, at most SIDE long; what is transparent is shown on white."""
    try:
        picture = Image.open(image)
        picture.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded at a fraction of its size
        if picture.mode == "P" or "transparency" in picture.info:
            picture = picture.convert("RGBA")
        if picture.mode[0] in "IF":
            picture = to_8_bit(picture)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
        if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture.convert("RGBA"))
        return picture.convert("RGB")
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise Reject("not a readable image") from error
    except Exception as error:  # decoders raise all sorts on damaged files; a bomb is a DecompressionBombError
        raise Reject("not a readable image: %s: %s" % (type(error).__name__, error)) from error


def to_8_bit(picture):
    """Integers of 16 or 32 bits and floats, from black to the top of the range they use, as 0 to 255."""
    highest = picture.getextrema()[1]
    ranges = (65535,) if picture.mode.startswith("I;16") else (1, 255, 65535) if picture.mode == "F" else (255, 65535)
    top = next((top for top in ranges if highest <= top), highest)
    return picture.convert("F").point(lambda value: value * (255 / top) + 0).convert("L")


def colour_name(hue, saturation, value):
    """The everyday name of one HSV pixel (each 0 to 255)."""
    if value < 50:
        return "black"
    if saturation < 40:
        return "white" if value > 210 else "grey"
    colour = next(colour for upto, colour in HUES if hue * 360 / 256 <= upto)
    return "brown" if colour == "orange" and value < 150 else colour


def sharpness(grey):
    """Variance of the Laplacian: low when an image is blurred or flat."""
    if min(grey.size) < 3:
        return 0.0
    edges = grey.filter(LAPLACE).crop((1, 1, grey.width - 1, grey.height - 1))  # the rim is not filtered
    return ImageStat.Stat(edges).var[0] * 4  # the kernel halves


def predict(image):
    """Flat numbers, and labels for what most of the image is; each score is a share of the pixels."""
    picture = decode(image)
    grey = picture.convert("L")
    stat, histogram, pixels = ImageStat.Stat(grey), grey.histogram(), grey.width * grey.height
    sample = picture.copy()
    sample.thumbnail((64, 64), Image.Resampling.BOX)
    hsv = sample.convert("HSV").tobytes()
    names = Counter(map(colour_name, hsv[0::3], hsv[1::3], hsv[2::3]))
    colour, count = names.most_common(1)[0]
    shares = {"dark": sum(histogram[:64]) / pixels, "bright": sum(histogram[192:]) / pixels}
    found = [(what, share) for what, share in shares.items() if share > 0.5] + [(colour, count * 3 / len(hsv))]
    most = [what for what, share in found if share > 0.5]
    red, green, blue = ImageStat.Stat(picture).mean
    fields = {"brightness": stat.mean[0], "contrast": stat.stddev[0], "sharpness": sharpness(grey),
              "entropy": abs(grey.entropy()), "mean_red": red, "mean_green": green, "mean_blue": blue}
    return {"items": [label(what, round(share, 4)) for what, share in found],
            "fields": {**{field: round(value, 2) for field, value in fields.items()},
                       "mean_colour": "#%02x%02x%02x" % (round(red), round(green), round(blue)),
                       "dominant_colour": colour},
            "summary": "mostly " + ", ".join(most) if most else "mixed colours"}
