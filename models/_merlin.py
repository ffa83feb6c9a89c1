"""Merlin Models and TensorFlow, imported in the order that they need."""

from ._merlin_compat import merlin_models

mm = merlin_models()

import tensorflow as tf  # noqa: E402

__all__ = ["mm", "tf"]
