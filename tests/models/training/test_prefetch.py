"""Prefetching of batches."""

import threading

import pytest

from cascade.models.training.prefetch import prefetch


@pytest.mark.parametrize("count", [0, 1, 3])
def test_items_come_in_order_to_the_end(count):
    assert list(prefetch(range(7), count)) == list(range(7))
    assert list(prefetch([], count)) == []


def test_another_thread_makes_as_many_as_allowed():
    made, threads = [], set()

    def source():
        for number in range(9):
            threads.add(threading.current_thread().name)
            made.append(number)
            yield number

    items = prefetch(source(), 2)
    assert next(items) == 0
    items.close()  # waits for the items that were requested
    assert made == [0, 1, 2] and all(name.startswith("batches") for name in threads)


def test_an_exception_of_the_source_is_raised_to_the_reader():
    def source():
        yield 1
        raise ValueError("broken row")

    items = prefetch(source(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken row"):
        next(items)
