"""Settings that must precede the import of NVTabular, which imports TensorFlow: TensorFlow reads them only once."""

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
"""Warnings of the libraries about their own code, which users of this package cannot act on."""
PROTOBUF = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
_GIVEN = os.environ.get(PROTOBUF)


def prepare_merlin() -> None:
    """Select Keras 2, which Merlin Models needs, and silence TensorFlow and the warnings in NOISE.

    With oneDNN, TensorFlow's own allocator keeps the largest amount of memory that tensors ever took until the process
    ends, 0.3 to 0.5 GB of the later stages. So it has to use the system's.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for message in NOISE:
        warnings.filterwarnings("ignore", message=f"\\s*{message}")


def restore_protobuf() -> None:
    """Take back what importing Merlin sets in the environment; call it before starting processes.

    Merlin asks for protobuf's implementation in Python. This process has loaded the fast one by then, but its children
    would trace and export models in one and a half times the time.
    """
    os.environ.pop(PROTOBUF, None)
    if _GIVEN is not None:
        os.environ[PROTOBUF] = _GIVEN
