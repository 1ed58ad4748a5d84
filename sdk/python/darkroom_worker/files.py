"""The images in hand, as files that nobody else may read."""
import atexit
import contextlib
import itertools
import logging
import os
import shutil
import stat
import tempfile
from typing import BinaryIO, Optional, Tuple

try:
    import fcntl
except ImportError:  # Windows, where a folder that a killed worker left stays
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("darkroom")
PREFIX = "darkroom-worker-"
# A file's name is never the server's: a number, and the extension of its type.
EXTENSIONS = {"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif", "image/webp": ".webp", "image/tiff": ".tif",
              "image/bmp": ".bmp", "image/heic": ".heic", "image/heif": ".heif", "image/avif": ".avif",
              "image/jp2": ".jp2", "image/jxl": ".jxl", "image/x-icon": ".ico"}


class Folder:
    """A private folder (0700) under the system's temporary one. It goes when the process ends; if that is killed, with the
    next of the same user's that makes one."""

    def __init__(self) -> None:
        remove_left()
        self.path, self._lock = _locked()
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
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_left() -> None:
    """Deletes the folders of this user's that no process holds any more: those of workers that were killed."""
    if fcntl is None:
        return
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and _is_own(entry):
                with contextlib.suppress(OSError):  # it is held, or gone
                    _remove_unheld(entry.path)


def _is_own(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder, and no link, of this user's."""
    with contextlib.suppress(OSError):
        found = entry.stat(follow_symlinks=False)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return False


def _remove_unheld(path: str) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
        log.info("removed %s, which a worker that was killed had left", path)
    finally:
        os.close(lock)


def _locked() -> Tuple[str, Optional[int]]:
    """A new folder, and what holds it for as long as this process lives, however that ends."""
    while True:
        path = os.path.realpath(tempfile.mkdtemp(prefix=PREFIX))
        if fcntl is None:
            return path, None
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY)
            with contextlib.suppress(OSError):  # where nothing can be locked, nothing is removed either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.isdir(path):
                return path, lock
            os.close(lock)  # another worker took it for one that was left, before it was held
