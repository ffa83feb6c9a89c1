"""What must be set before NVTabular is imported: it imports TensorFlow, which reads its environment once."""

from __future__ import annotations

import os
import warnings

NOISE = (
    "Initializing an NVTabular Dataset in CPU mode",
    "PyTorch dtype mappings did not load",
    "np.find_common_type is deprecated",
    "The `nvtabular.loader` module has moved",
    "The current Dask DataFrame implementation is deprecated",
)
"""Warnings about choices made inside the libraries, which nobody who reads them here can change."""


def prepare_merlin() -> None:
    """Keep TensorFlow quiet and on Keras 2, which Merlin Models is written for."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for message in NOISE:
        warnings.filterwarnings("ignore", message=f"\\s*{message}")
