"""The photograph that a model is given: the path of its file, which knows more than a path."""
import hashlib
import os
from typing import Any, Callable, Dict, Optional, Tuple

from .errors import Undecodable

Report = Callable[[Optional[float], Optional[str]], None]
UPRIGHT_SWAPS = (5, 6, 7, 8)  # the EXIF orientations whose upright image has width and height exchanged


class Image(str):
    """The absolute path of a private file that holds the photograph; it is gone when `predict` has returned."""

    params: Dict[str, Any]
    media_type: Optional[str]
    _md5: Optional[str]
    _size: Optional[Tuple[int, int]]
    _report: Optional[Report]

    def __new__(cls, path: str, *, md5: Optional[str] = None, size: Optional[Tuple[int, int]] = None,
                media_type: Optional[str] = None, params: Optional[Dict[str, Any]] = None,
                report: Optional[Report] = None) -> "Image":
        """`size` is that of the upright image; what is not given is read from the file when asked for."""
        self = super().__new__(cls, os.path.abspath(path))
        self.params, self.media_type = params or {}, media_type
        self._md5, self._size, self._report = md5, size, report
        return self

    def __radd__(self, folder: str) -> str:
        """`"/some/folder/" + image` is the path itself: code that knows only file names works as it is."""
        return str(self)

    def __str__(self) -> str:
        return str.__str__(self)

    def __reduce__(self) -> Any:
        """A copy in another process is the path alone."""
        return str, (str(self),)

    @property
    def md5(self) -> str:
        """The MD5 of the file's bytes, 32 lower-case hex digits: the image's name everywhere in Darkroom."""
        if self._md5 is None:
            self._md5 = hashlib.md5(self.read(), usedforsecurity=False).hexdigest()
        return self._md5

    @property
    def size(self) -> Tuple[int, int]:
        """Width and height of the upright image, in pixels."""
        if self._size is None:
            self._size = self._measure()
        return self._size

    def read(self) -> bytes:
        """The file's bytes, as they were uploaded."""
        with open(self, "rb") as file:
            return file.read()

    def pil(self) -> Any:
        """The upright image as a loaded `PIL.Image`, in the mode of the file. Raises `Undecodable`, which rejects it."""
        from PIL import Image as Pillow, ImageOps
        try:
            with Pillow.open(self) as picture:
                return ImageOps.exif_transpose(picture.copy())
        except MemoryError:
            raise
        except Exception as error:  # decoders raise all sorts on damaged files
            raise Undecodable("not a readable image: %s: %s" % (type(error).__name__, error)) from error

    def array(self) -> Any:
        """The upright image as a numpy array of shape (height, width, 3), RGB, uint8. Needs Pillow or OpenCV."""
        try:
            import PIL  # noqa: F401
        except ImportError:
            return self._array_by_opencv()
        import numpy
        return numpy.array(_rgb(self.pil()))

    def progress(self, fraction: Optional[float], note: Optional[str] = None) -> None:
        """Say how far this job is (0 to 1). Raises `Cancelled` when it is no longer ours: let it pass."""
        if self._report is not None:
            self._report(fraction, note)

    def _measure(self) -> Tuple[int, int]:
        try:
            from PIL import Image as Pillow
        except ImportError:
            height, width = self._array_by_opencv().shape[:2]
            return int(width), int(height)
        try:
            with Pillow.open(self) as picture:
                (width, height), orientation = picture.size, picture.getexif().get(0x0112)
        except Exception as error:
            raise Undecodable("not a readable image: %s: %s" % (type(error).__name__, error)) from error
        return (height, width) if orientation in UPRIGHT_SWAPS else (width, height)

    def _array_by_opencv(self) -> Any:
        try:
            import cv2
        except ImportError:
            raise ImportError("reading pixels needs Pillow or OpenCV: pip install pillow numpy") from None
        pixels = cv2.imread(str(self), cv2.IMREAD_COLOR)  # which turns it upright
        if pixels is None:
            raise Undecodable("not a readable image")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _rgb(picture: Any) -> Any:
    """8-bit RGB of any mode; the 16-bit ones are scaled, which `convert` would cut off."""
    if picture.mode.startswith("I;16"):
        picture = picture.convert("I")
    if picture.mode == "I":
        picture = picture.point(lambda value: value * (1 / 256)).convert("L")
    return picture.convert("RGB")
