"""Photographs on this machine: files as they are named, and in folders whatever has an image's signature."""
import os
from pathlib import Path
from typing import Iterable, List, NamedTuple, Optional

from .errors import ModelError

HEAD_BYTES = 16
SIGNATURES = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
              (b"BM", "image/bmp"), (b"II*\0", "image/tiff"), (b"MM\0*", "image/tiff"))
BRANDS = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"msf1": "image/heif", b"avif": "image/avif"}


class Found(NamedTuple):
    """The photographs, in order and each once, and how many files of folders are none."""

    files: List[Path]
    skipped: int


def media_type(file: Path) -> Optional[str]:
    """What a file is by its first bytes; None if it is no image or cannot be read."""
    try:
        if not file.is_file():  # a pipe would never end
            return None
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return None
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12])
    return next((kind for signature, kind in SIGNATURES if head.startswith(signature)), None)


def find(places: Iterable[str]) -> Found:
    """The photographs that files and folders name. Raises `ModelError` for what is not there."""
    files: List[Path] = []
    skipped = 0
    for place in map(Path, places):
        if place.is_dir():
            inside = [Path(folder, name) for folder, _, names in sorted(os.walk(place)) for name in sorted(names)]
            images = [file for file in inside if media_type(file)]
            skipped += len(inside) - len(images)
            files += images
        elif place.is_file():
            files.append(place)
        else:
            raise ModelError("there is no file or folder %s" % place)
    return Found(list(dict.fromkeys(files)), skipped)
