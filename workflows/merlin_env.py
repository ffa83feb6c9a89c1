"""What must be in the environment before NVTabular is imported: it imports TensorFlow, which reads it once."""

from __future__ import annotations

import os


def prepare_merlin() -> None:
    """Keep TensorFlow quiet and on Keras 2, which Merlin Models is written for."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
