"""Importing a library that writes to stderr as it is imported."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


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
