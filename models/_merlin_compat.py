"""Merlin Models 23.12 on current TensorFlow: the imports that have moved since, under their old names.

Delete an alias when ``tests/models/test_compat.py`` says that its old name imports again, or when Merlin Models no
longer asks for it; delete this module when none is left.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from ..core.errors import ConfigError
from ..core.merlin_env import prepare_merlin

KERAS = (
    "utils.layer_utils",
    "utils.control_flow_util",
    "utils.losses_utils",
    "utils.metrics_utils",
    "utils.generic_utils",
    "utils.tf_inspect",
    "utils.tf_utils",
    "engine",
    "engine.compile_utils",
    "engine.base_layer",
    "saving.saving_lib",
    "layers.preprocessing",
    "layers.preprocessing.preprocessing_utils",
)
"""Below ``keras`` until 2.12; Keras 2 lives in ``tf_keras.src`` since."""

ALIASES = {f"keras.{name}": f"tf_keras.src.{name}" for name in KERAS} | {
    "tensorflow.python.training.tracking.data_structures": "tensorflow.python.trackable.data_structures",
}
"""Old name -> where the module is now."""


def merlin_models() -> Any:
    """``merlin.models.tf``, imported with the aliases in place.

    Raises:
        ConfigError: if TensorFlow is on Keras 3: it was imported before ``TF_USE_LEGACY_KERAS`` was 1.
    """
    prepare_merlin()
    import tensorflow as tf

    if not tf.keras.Model.__module__.startswith("tf_keras."):
        raise ConfigError(
            f"TF_USE_LEGACY_KERAS: Merlin Models needs Keras 2, tf.keras is {tf.keras.Model.__module__}; "
            "set TF_USE_LEGACY_KERAS=1 before the first import of tensorflow"
        )
    install_aliases()
    import merlin.models.tf as mm

    return mm


def install_aliases() -> None:
    """Let old names import what is elsewhere now; what imports by itself is left alone."""
    for old, new in ALIASES.items():
        if old not in sys.modules:
            sys.modules[old] = importlib.import_module(new)
    _dlpack()


def _dlpack() -> None:
    """``tensorflow.python.{to,from}_dlpack``: public as ``tf.experimental.dlpack`` now."""
    import tensorflow as tf

    internal: ModuleType = importlib.import_module("tensorflow.python")
    for name in ("to_dlpack", "from_dlpack"):
        if not hasattr(internal, name):
            setattr(internal, name, getattr(tf.experimental.dlpack, name))
