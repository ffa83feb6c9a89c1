"""What is said on stderr: our own notices, and of the libraries below us only errors."""

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
"""TensorFlow's C++ side and Dask's worker processes read the environment; set before either is imported."""


def set_noise(verbose: bool) -> None:
    """Let libraries log and tracebacks be shown, or not; called before anything heavy is imported."""
    ours = logging.getLogger("cascade")
    if not ours.handlers:
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
    """Imports one library with stderr put aside: TensorFlow's C++ side logs there before it reads its log level."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The library's own spec, whose loader is quiet; None for every other module."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self.name else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with stderr_aside():
                execute(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def stderr_aside() -> Iterator[None]:
    """Keep back what is written to file descriptor 2; it is shown after all if the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(2)
        os.dup2(aside.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                aside.seek(0)
                os.write(2, aside.read())
