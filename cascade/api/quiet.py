"""A pipeline that writes nothing to a program's stderr."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_bars(quiet: bool = True) -> Iterator[None]:
    """While it lasts, tqdm shows no bars in this process, libraries warn of nothing, and TensorFlow's C++ side is told
    to log errors only; nothing of this with ``quiet=False``."""
    if not quiet:
        yield
        return
    from tqdm.std import tqdm

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    make = tqdm.__init__

    def make_hidden(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **{**options, "disable": True})

    tqdm.__init__ = make_hidden  # type: ignore[method-assign]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tqdm.__init__ = make  # type: ignore[method-assign]
