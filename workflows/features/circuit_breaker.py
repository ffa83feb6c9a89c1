"""A circuit breaker: no request waits for an online store that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ...core.errors import FeatureStoreError
from .online import OnlineReader, OnlineRows, StoreUnreachableError

_ANY_KEY = 0
"""A probe need not find a row: that there is none is an answer too."""


class CircuitBreaker:
    """Reads with ``reader`` as long as the store answers.

    Closed: every read asks the store. The first read without an answer opens the breaker. Open: reads fail at once, and
    a thread of its own asks the store every ``retry_s`` seconds; the first answer closes the breaker. These trials are
    what is often called half-open; here no request takes part in them.

    An error that the store answers with, for example for a value of another type, does not open it.

    https://martinfowler.com/bliki/CircuitBreaker.html
    """

    def __init__(self, reader: OnlineReader, retry_s: float) -> None:
        self.reader, self._retry_s = reader, retry_s
        self._lock = threading.Lock()
        self._reason: str | None = None
        self.errors = 0
        """Reads and trials that the store did not answer, or answered with an error."""

    @property
    def is_open(self) -> bool:
        """Whether reads fail without asking the store."""
        return self._reason is not None

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        """As the reader does.

        Raises:
            StoreUnreachableError: at once if the breaker is open, or if the store does not answer.
            FeatureStoreError: if the store answers with an error.
        """
        reason = self._reason
        if reason is not None:
            raise StoreUnreachableError(reason)
        try:
            return self.reader.read(keys)
        except StoreUnreachableError as error:
            self._open(str(error))
            raise
        except FeatureStoreError:
            self.errors += 1
            raise

    def _open(self, reason: str) -> None:
        with self._lock:  # several threads may read, and one trial at a time is enough
            self.errors += 1
            if self._reason is None:
                self._reason = reason
                threading.Thread(target=self._try_until_it_answers, name="cascade-store-retry", daemon=True).start()

    def _try_until_it_answers(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._retry_s):
            if self._answers():
                self._reason = None
                return

    def _answers(self) -> bool:
        try:
            self.reader.read([_ANY_KEY])
        except StoreUnreachableError:
            self.errors += 1
            return False
        except FeatureStoreError:
            self.errors += 1
        return True
