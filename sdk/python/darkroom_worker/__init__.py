"""Write `predict(image)`, run one command: a microservice of Darkroom. See README.md."""
from .errors import Cancelled, InvalidResult, ModelError, Reject, Retry
from .image import Image
from .results import box, embedding, hash_, label, points, text

__version__ = "0.1.0"
__all__ = ["Cancelled", "Image", "InvalidResult", "ModelError", "Reject", "Retry", "box", "embedding", "hash_", "label",
           "points", "text"]
