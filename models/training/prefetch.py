"""Prefetching: a second thread makes the next batches while a step is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
END: Any = object()


def prefetch(source: Iterable[T], count: int) -> Iterator[T]:
    """Yield the items of ``source`` in order, with up to ``count`` made in advance; its exceptions are raised here."""
    items = iter(source)
    if not count:
        yield from items
        return
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = deque(pool.submit(next, items, END) for _ in range(count))
        while (item := waiting.popleft().result()) is not END:
            waiting.append(pool.submit(next, items, END))
            yield item
