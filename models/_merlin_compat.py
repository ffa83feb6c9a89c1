"""Aliases that let Merlin Models 23.12 import on current TensorFlow: modules that have moved, under their old names.

Delete an alias when ``tests/models/test_merlin_compat.py`` reports that its old name can be imported again, or when
Merlin Models no longer imports it. Delete this module when no alias is left.
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
"""Modules of ``keras`` until 2.12; Keras 2 is in ``tf_keras.src`` now."""

ALIASES = {f"keras.{name}": f"tf_keras.src.{name}" for name in KERAS} | {
    "tensorflow.python.training.tracking.data_structures": "tensorflow.python.trackable.data_structures",
}
"""Old module name -> current one."""
PARENTS = {
    "keras": "tf_keras",
    "keras.utils": "tf_keras.src.utils",
    "keras.saving": "tf_keras.src.saving",
    "keras.layers": "tf_keras.src.layers",
}
"""Packages that Python imports on the way to an alias. Here ``keras`` is Keras 3: a fifth of the time of the import."""


def merlin_models() -> Any:
    """Install the aliases and import ``merlin.models.tf``.

    Raises:
        ConfigError: if TensorFlow uses Keras 3, because it was imported before ``TF_USE_LEGACY_KERAS=1`` was set.
    """
    prepare_merlin()
    import tensorflow as tf

    if not tf.keras.Model.__module__.startswith("tf_keras."):
        raise ConfigError(
            f"TF_USE_LEGACY_KERAS: Merlin Models needs Keras 2, tf.keras is {tf.keras.Model.__module__}; "
            "set TF_USE_LEGACY_KERAS=1 before the first import of tensorflow"
        )
    install_aliases()
    ours = {name: importlib.import_module(own) for name, own in PARENTS.items() if "keras" not in sys.modules}
    sys.modules.update(ours)
    import merlin.models.tf as mm

    for name in ours:
        del sys.modules[name]
    return mm


def install_aliases() -> None:
    """Register each module under its old name, unless that is already imported."""
    for old, new in ALIASES.items():
        if old not in sys.modules:
            sys.modules[old] = importlib.import_module(new)
    _dlpack()


def _dlpack() -> None:
    """Restore ``tensorflow.python.{to,from}_dlpack``, which are in ``tf.experimental.dlpack`` now."""
    import tensorflow as tf

    internal: ModuleType = importlib.import_module("tensorflow.python")
    for name in ("to_dlpack", "from_dlpack"):
        if not hasattr(internal, name):
            setattr(internal, name, getattr(tf.experimental.dlpack, name))
