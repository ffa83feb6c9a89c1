"""Wait for what other processes and threads do, for as long as a busy machine may take."""

import time
from collections.abc import Callable

HANG_S = 300.0
"""Only what hangs takes longer. Waiting until then is a failure and asserts nothing about speed."""


def wait_until(condition: Callable[[], object], pause_s: float = 0.05) -> None:
    """Return as soon as ``condition`` holds; fail if it never does."""
    give_up = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < give_up, "it hangs"
        time.sleep(pause_s)
