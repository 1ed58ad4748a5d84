"""How many images go to the model at once, and how many are fetched ahead."""
import statistics
from typing import List, Optional

AUTO_MOST = 64  # the largest batch that is tried
RISE = 1.05  # a larger batch stays if it brings this many times the images per second
SAMPLES = 3  # full batches measured of each size
AHEAD_S = 0.1  # seconds of predictions that are ready before they are needed, at least
AHEAD_MOST = 32  # images
QUICK_S = 0.5
WEIGHT = 0.2  # of the newest measurement in a running mean


class Batch:
    """The size of batches: fixed, or found by trying, which doubles it while that pays."""

    def __init__(self, size: Optional[int], batched: bool, most: int = AUTO_MOST):
        """`size` None means auto; a model that takes single images has nothing to try."""
        self.auto = size is None and batched
        self.size = 1 if size is None else size
        self.most = most if self.auto else self.size
        self._rates: List[float] = []
        self._before = 0.0  # images per second of the size before
        self._memory: Optional[int] = None  # bytes of the process when this size began
        self._image_s: Optional[float] = None
        self._fetch_s = 0.0

    def ahead(self) -> int:
        """How many images to have ready while the model works: one batch, or as many as cover the way to the server."""
        if self._image_s is None:
            return self.size
        cover_s = max(AHEAD_S, 2 * self._fetch_s)
        return max(self.size, min(AHEAD_MOST, round(cover_s / max(self._image_s, 1e-6))))

    def quick(self) -> bool:
        """Whether a batch takes so short a time that the pause between two would count."""
        return self._image_s is not None and self._image_s * self.size < QUICK_S

    def fetched(self, seconds: float) -> None:
        """An image was ready so long after its claim was sent."""
        self._fetch_s += WEIGHT * (min(seconds, 2.0) - self._fetch_s)

    def measured(self, count: int, seconds: float, memory: int, available: Optional[int], problem: Optional[str]) -> None:
        """`count` images took the model so long; the memory of its process and of the machine, in bytes, and why the
        batch failed as such, if it did."""
        each = seconds / count
        self._image_s = each if self._image_s is None else self._image_s + WEIGHT * (each - self._image_s)
        if not self.auto:
            return
        if problem is not None:
            if "memory" in problem.lower():
                self._settle(max(1, count // 2))
            return
        if self._memory is None:
            self._memory = memory
        if count == self.size:
            self._rates.append(count / seconds)
        if len(self._rates) < SAMPLES:
            return
        rate, self._rates = statistics.median(self._rates), []
        if self._before and rate < self._before * RISE:
            self._settle(self.size // 2)
        elif self.size * 2 > self.most or not self._fits(memory, available):
            self._settle(self.size)
        else:
            self._before, self._memory = rate, memory
            self.size *= 2

    def _fits(self, memory: int, available: Optional[int]) -> bool:
        """Whether twice the growth of this size is at most half of what the machine has left."""
        growth = max(0, memory - (self._memory or memory))
        return available is None or 2 * growth <= available / 2

    def _settle(self, size: int) -> None:
        self.size, self.most, self.auto = size, size, False


def available_memory() -> Optional[int]:
    """Bytes that may still be used here, the container's limit included; None where the system does not tell."""
    found = []
    try:
        with open("/proc/meminfo") as meminfo:
            found += [int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable")]
    except OSError:
        return None
    try:
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as used:
            found.append(int(limit.read()) - int(used.read()))
    except (OSError, ValueError):  # no container, or "max"
        pass
    return min(found, default=None)
