"""A test kit for workers: an in-memory server, and the checks of the protocol that any worker can be run against."""
from .jobs import Job
from .photos import Photo, png
from .server import Server

__all__ = ["Job", "Photo", "Server", "png"]
