"""Log messages on stderr: our own from INFO on, those of libraries only from ERROR on."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
"""Environment variables read by TensorFlow's C++ code and Dask's workers; they must be set before the imports."""


def configure_logging(verbose: bool) -> None:
    """Show or hide log messages of libraries. Call it before anything heavy is imported.

    Args:
        verbose: show everything, and our own debug messages.
    """
    ours = logging.getLogger("cascade")
    if all(isinstance(handler, logging.NullHandler) for handler in ours.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        ours.addHandler(handler)
        ours.propagate = False
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR)
    if verbose:
        return
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    if not any(isinstance(finder, QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietImport("tensorflow"))


def is_verbose() -> bool:
    return logging.getLogger("cascade").isEnabledFor(logging.DEBUG)


class QuietImport(MetaPathFinder):
    """Imports one library while stderr is withheld: TensorFlow's C++ code logs before it reads its log level."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the library, with a loader that withholds stderr; None for every other module."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self.name else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with withheld_stderr():
                execute(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def withheld_stderr() -> Iterator[None]:
    """Withhold what is written to file descriptor 2, and print it only if the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as buffer:
        kept = os.dup(2)
        os.dup2(buffer.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                buffer.seek(0)
                os.write(2, buffer.read())
