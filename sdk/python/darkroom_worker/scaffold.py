"""`darkroom-worker new`: a folder with a model that runs as it is."""
import struct
import zlib
from importlib import resources
from pathlib import Path
from typing import List

from . import __version__
from .errors import ModelError
from .module import NAME

# The template of each file; the model is named as its folder.
FILES = {"model.py": "@name@.py", "requirements.txt": "requirements.txt", "test_model.py": "test_model.py",
         "Dockerfile": "Dockerfile", "compose.yml": "compose.yml", "README.md": "README.md"}
SIDE = 64  # pixels of the photograph to begin with


def new(folder: str) -> List[Path]:
    """Write the files and return them. Raises `ModelError` if the folder exists or its name cannot be a model's."""
    made = Path(folder)
    if not NAME.fullmatch(made.name):
        raise ModelError("%r cannot be a model's name: use a-z, 0-9, _, . and -, at most 64, the first a letter or digit"
                         % made.name)
    if made.exists():
        raise ModelError("%s exists already: choose another name, or take it away first" % made)
    (made / "photos").mkdir(parents=True)
    templates = resources.files(__package__) / "templates" / "new"
    files = []
    for template, name in FILES.items():
        text = (templates / (template + ".txt")).read_text(encoding="utf-8")
        files.append(made / name.replace("@name@", made.name))
        files[-1].write_text(text.replace("@name@", made.name).replace("@version@", __version__), encoding="utf-8")
    photograph = made / "photos" / "gradient.png"
    photograph.write_bytes(gradient())
    return files + [photograph]


def gradient() -> bytes:
    """A PNG of every hue from blue to orange, so that there is something to look at."""
    rows = [b"".join(bytes((4 * x, 2 * (x + y), 255 - 4 * y)) for x in range(SIDE)) for y in range(SIDE)]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
