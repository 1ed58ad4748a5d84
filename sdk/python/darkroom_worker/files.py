"""The images in hand, as files that nobody else may read."""
import atexit
import contextlib
import itertools
import os
import shutil
import tempfile
from typing import BinaryIO, Optional, Tuple

# A file's name is never the server's: a number, and the extension of its type.
EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "image/tiff": ".tif",
              "image/bmp": ".bmp", "image/heic": ".heic", "image/heif": ".heif", "image/avif": ".avif",
              "image/jp2": ".jp2", "image/jxl": ".jxl", "image/x-icon": ".ico"}


class Folder:
    """A private folder (0700) under the system's temporary one; it goes when the process ends."""

    def __init__(self) -> None:
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="darkroom-"))
        self._numbers = itertools.count(1)
        atexit.register(self.remove)

    def create(self, media_type: Optional[str]) -> Tuple[str, BinaryIO]:
        """A new file's path, and the file, open for writing."""
        path = os.path.join(self.path, "%d%s" % (next(self._numbers), EXTENSIONS.get(media_type or "", "")))
        return path, open(path, "xb")

    def delete(self, path: Optional[str]) -> None:
        """Deletes a file, if it is there."""
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def remove(self) -> None:
        """Deletes the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        atexit.unregister(self.remove)
