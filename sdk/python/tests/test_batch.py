"""The size of batches that auto finds, and how many images are fetched ahead."""
import pytest

from darkroom_worker.batch import AHEAD_MOST, AUTO_MOST, Batch

GIB = 1 << 30


def settle(batch, seconds_of, memory_of=lambda size: 0, available=64 * GIB, rounds=60):
    """Lets it measure full batches until it has chosen."""
    for _ in range(rounds):
        batch.measured(batch.size, seconds_of(batch.size), memory_of(batch.size), available, None)
    return batch.size


@pytest.mark.parametrize("seconds_of, size", [
    (lambda n: 0.02 * n, 1),  # a batch brings nothing
    (lambda n: 0.1 + 0.001 * n, AUTO_MOST),  # the longer the better
    (lambda n: max(0.1, n * 0.1 / 8), 8),  # free up to eight at once
    (lambda n: 0.02 * n + 0.05 * (n > 1), 1),  # dearer together
])
def test_auto_grows_while_it_pays(seconds_of, size):
    batch = Batch(None, batched=True)
    assert settle(batch, seconds_of) == size and not batch.auto


def test_auto_keeps_to_the_memory():
    def memory(size):
        return GIB + size * GIB // 8
    assert settle(Batch(None, batched=True), lambda n: 0.1, memory, available=2 * GIB) == 16
    assert settle(Batch(None, batched=True), lambda n: 0.1, memory, available=None) == AUTO_MOST
    batch = Batch(None, batched=True)
    settle(batch, lambda n: 0.1, rounds=6)
    assert batch.size == 4
    batch.measured(4, 0.1, 0, None, "RuntimeError: CUDA out of memory")
    assert (batch.size, batch.auto) == (2, False)


def test_a_fixed_size_stays_and_partial_batches_tell_nothing():
    batch = Batch(4, batched=True)
    assert settle(batch, lambda n: 0.1) == 4
    assert settle(Batch(None, batched=False), lambda n: 0.1) == 1
    batch = Batch(None, batched=True)
    settle(batch, lambda n: 0.1, rounds=3)
    for _ in range(9):
        batch.measured(1, 0.1, 0, None, None)
    assert batch.size == 2


def test_as_many_are_fetched_ahead_as_cover_the_way():
    batch = Batch(1, batched=False)
    assert batch.ahead() == 1  # nothing is known yet
    batch.measured(1, 0.02, 0, None, None)
    assert batch.ahead() == 5
    for _ in range(30):
        batch.fetched(0.2)
    assert batch.ahead() == 20
    for _ in range(30):
        batch.measured(1, 5.0, 0, None, None)
    assert batch.ahead() == 1
    for _ in range(60):
        batch.measured(1, 0.0, 0, None, None)
    assert batch.ahead() == AHEAD_MOST
