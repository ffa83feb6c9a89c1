"""Batches made by a second thread while a step is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
END: Any = object()


def ahead(source: Iterable[T], count: int) -> Iterator[T]:
    """The items of ``source`` in their order, up to ``count`` of them made ahead; what it raises is raised here."""
    items = iter(source)
    if not count:
        yield from items
        return
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = deque(pool.submit(next, items, END) for _ in range(count))
        while (item := waiting.popleft().result()) is not END:
            waiting.append(pool.submit(next, items, END))
            yield item
