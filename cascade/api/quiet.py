"""A pipeline that writes nothing to a program's stderr."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..core.quiet_import import QuietImport

LOUD = ("tensorflow", "absl")
"""Loggers with handlers of their own, which write to stderr although the program has not set up logging."""


@contextmanager
def quietly(*, bars: bool) -> Iterator[None]:
    """While it lasts, this process shows no warnings, no messages of libraries below ERROR, and no bars of tqdm.

    Messages of the logger ``cascade`` go where the program has set up logging, as always. If it logs at DEBUG, nothing
    is hidden.

    Args:
        bars: whether to show bars after all.
    """
    if logging.getLogger("cascade").isEnabledFor(logging.DEBUG):
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if not bars:
            stack.enter_context(_without_bars())
        stack.enter_context(_quiet_loggers())
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        finder = QuietImport("tensorflow")
        sys.meta_path.insert(0, finder)
        stack.callback(sys.meta_path.remove, finder)
        yield


@contextmanager
def _without_bars() -> Iterator[None]:
    from tqdm.std import tqdm

    make = tqdm.__init__

    def make_hidden(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **{**options, "disable": True})

    tqdm.__init__ = make_hidden  # type: ignore[method-assign]
    try:
        yield
    finally:
        tqdm.__init__ = make  # type: ignore[method-assign]


@contextmanager
def _quiet_loggers() -> Iterator[None]:
    """A library that warns by ``logging.warning`` would install a handler of the root logger if there is none."""
    before = {name: logging.getLogger(name).level for name in LOUD}
    silent = logging.NullHandler()
    if not logging.root.handlers:
        logging.root.addHandler(silent)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.removeHandler(silent)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
