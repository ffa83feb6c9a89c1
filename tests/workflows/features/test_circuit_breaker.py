"""A store that does not answer is not waited for; with a stand-in for its reader."""

import threading
from collections.abc import Sequence

import pytest
from waiting import wait_until

from cascade.core.errors import FeatureStoreError
from cascade.workflows.features.circuit_breaker import CircuitBreaker
from cascade.workflows.features.online import OnlineRows, StoreUnreachableError


class Store:
    """Answers, or raises ``error``; notes the thread of every read."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked_by: list[threading.Thread] = []

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        self.asked_by.append(threading.current_thread())
        if self.error is not None:
            raise self.error
        return OnlineRows([True for _ in keys], {})

    @property
    def asked_here(self) -> int:
        return self.asked_by.count(threading.current_thread())


@pytest.fixture
def store() -> Store:
    return Store()


def test_only_the_first_read_waits_for_a_store_that_does_not_answer(store: Store) -> None:
    breaker = CircuitBreaker(store, retry_s=0.01)
    store.error = StoreUnreachableError("timeout")
    for _ in range(100):
        with pytest.raises(StoreUnreachableError, match="timeout"):
            breaker.read([1])
    assert store.asked_here == 1 and breaker.is_open
    wait_until(lambda: len(store.asked_by) > 3, 0.005)  # it is tried again, beside the requests
    assert store.asked_here == 1
    assert breaker.errors >= 3
    store.error = None
    wait_until(lambda: not breaker.is_open, 0.005)
    assert breaker.read([1, 2]).known == [True, True]
    assert store.asked_here == 2


def test_it_opens_again_as_often_as_the_store_fails(store: Store) -> None:
    breaker = CircuitBreaker(store, retry_s=0.001)
    for times in range(1, 6):
        store.error = StoreUnreachableError("gone")
        with pytest.raises(StoreUnreachableError):
            breaker.read([1])
        assert store.asked_here == 2 * times - 1
        store.error = None
        wait_until(lambda: not breaker.is_open, 0.005)
        breaker.read([1])


def test_several_threads_start_one_trial(store: Store) -> None:
    breaker = CircuitBreaker(store, retry_s=60)
    store.error = StoreUnreachableError("gone")
    before, together = set(threading.enumerate()), threading.Barrier(8)

    def read() -> None:
        together.wait()
        with pytest.raises(StoreUnreachableError):
            breaker.read([1])

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(threading.enumerate()) - before) == 1


def test_an_error_that_the_store_answers_does_not_open_it(store: Store) -> None:
    breaker = CircuitBreaker(store, retry_s=60)
    store.error = FeatureStoreError("WRONGTYPE")
    for times in range(1, 4):
        with pytest.raises(FeatureStoreError, match="WRONGTYPE"):
            breaker.read([1])
        assert (store.asked_here, breaker.errors, breaker.is_open) == (times, times, False)


def test_an_error_that_the_store_answers_to_a_trial_closes_it(store: Store) -> None:
    breaker = CircuitBreaker(store, retry_s=0.001)
    store.error = StoreUnreachableError("gone")
    with pytest.raises(StoreUnreachableError):
        breaker.read([1])
    store.error = FeatureStoreError("WRONGTYPE")
    wait_until(lambda: not breaker.is_open, 0.005)
