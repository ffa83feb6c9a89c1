"""What is said on stderr: our own notices, and of the libraries below us only errors."""

from __future__ import annotations

import logging
import os
import warnings

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


def is_verbose() -> bool:
    return logging.getLogger("cascade").isEnabledFor(logging.DEBUG)
