"""Images: what their first bytes say of them, and small ones made in code."""
from __future__ import annotations

import hashlib
import random
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Optional, Tuple


@dataclass(frozen=True)
class Photo:
    """An image as a claim tells it. `width` and `height` are those of the stored pixels, before `orientation` turns them."""

    content: bytes
    media_type: str
    width: int
    height: int
    orientation: Optional[int] = None

    @cached_property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def upright(self) -> Tuple[int, int]:
        """Width and height once it is turned upright."""
        turned = self.orientation is not None and self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


def look(content: bytes) -> Photo:
    """Reads type, size and orientation of a PNG, GIF or JPEG. Of other bytes it says `application/octet-stream`, 1 × 1: the
    real server refuses what is no image, a test may want to see what its model makes of it."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        return Photo(content, "image/png", *struct.unpack(">II", content[16:24]))
    if content[:6] in (b"GIF87a", b"GIF89a") and len(content) >= 10:
        return Photo(content, "image/gif", *struct.unpack("<HH", content[6:10]))
    if content[:2] == b"\xff\xd8":
        return _jpeg(content)
    return Photo(content, "application/octet-stream", 1, 1)


def _jpeg(content: bytes) -> Photo:
    at, orientation = 2, None
    while at + 9 < len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], struct.unpack(">H", content[at + 2:at + 4])[0]
        if marker == 0xE1 and content[at + 4:at + 10] == b"Exif\0\0":
            orientation = _orientation(content[at + 10:at + 2 + length])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5:at + 9])
            return Photo(content, "image/jpeg", width, height, orientation)
        at += 2 + length
    return Photo(content, "image/jpeg", 1, 1)


def _orientation(tiff: bytes) -> Optional[int]:
    try:
        order = "<" if tiff[:2] == b"II" else ">"
        first, = struct.unpack_from(order + "I", tiff, 4)
        count, = struct.unpack_from(order + "H", tiff, first)
        for place in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, first + 2 + 12 * place)
            if tag == 0x112:
                return value if 1 <= value <= 8 else None
    except struct.error:
        pass
    return None


def png(salt: int, width: int = 64, height: int = 48) -> bytes:
    """A PNG that any reader opens, of coloured noise; other bytes for every `salt`."""
    noise = random.Random(salt)
    rows = b"".join(b"\0" + bytes(noise.getrandbits(8) for _ in range(3 * width)) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
