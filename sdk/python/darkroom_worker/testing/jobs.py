"""What the in-memory server keeps: jobs, sessions, keys."""
from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Optional, Tuple

from .photos import Photo

ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Attempt:
    """One try at a job that has ended."""

    lease_no: int
    worker: str
    outcome: str  # succeeded, retry, rejected, released, died, late, unlisted, cancelled
    error: Optional[Dict[str, Any]] = None


@dataclass
class Job:
    """One image × one model."""

    id: str
    model: str
    photo: Photo
    params: Dict[str, Any]
    priority: int
    max_attempts: int
    deadline_s: float
    run_at: float  # on the server's monotonic clock, in seconds
    url: Optional[str] = None  # where a claim says that the bytes are, if not at this server
    state: str = "queued"
    reason: Optional[str] = None  # of a failure: rejected, exhausted, poisoned
    attempt: int = 0
    lease_no: int = 0
    deaths: int = 0
    solo: bool = False  # its worker died before: it is run alone
    worker: Optional[str] = None
    claim_id: Optional[str] = None
    claimed_at: float = 0.0
    deadline_at: float = 0.0
    version: Optional[str] = None  # of the model that it succeeded with
    result: Optional[Dict[str, Any]] = None
    error: Optional[Dict[str, Any]] = None
    duration_s: Optional[float] = None
    progress: Optional[float] = None
    note: Optional[str] = None
    attempts: List[Attempt] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def rank(self) -> Tuple[float, str]:
        """Who is next: a step of priority is worth ten minutes of waiting."""
        return (self.run_at - 600.0 * self.priority, self.id)


@dataclass
class Session:
    """One registration of a worker."""

    id: str
    key: str
    about: Dict[str, Any]  # the body it registered with
    alive_until: float
    beats: int = 0
    draining: bool = False
    trouble: Optional[str] = None
    ended: Optional[str] = None  # left, died or lost, when it is over
    reserved: bool = False  # kept free for a solo job
    held: Dict[str, Job] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return str(self.about["model"])


@dataclass
class Key:
    """An API key."""

    text: str
    service: str
    models: Tuple[str, ...]
    revoked: bool = False

    def reaches(self, model: str) -> bool:
        return any(fnmatchcase(model, glob) for glob in self.models)


def new_key(service: str, models: Tuple[str, ...]) -> Key:
    return Key("dr_%s_%s" % (secrets.token_hex(6), secrets.token_hex(32)), service, models)


