"""Log messages on stderr: our own from INFO on, those of libraries only from ERROR on."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from ..core.quiet_import import QuietImport

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
    """Whether ``--verbose`` was given."""
    return logging.getLogger("cascade").isEnabledFor(logging.DEBUG)


def to_stderr(line: str) -> None:
    """Print a line on stderr at once."""
    print(line, file=sys.stderr, flush=True)
