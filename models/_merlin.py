"""Merlin Models and TensorFlow; importing this module imports both, in the only order that works.

`_merlin_compat` is a separate module because it can be imported without TensorFlow.
"""

from ._merlin_compat import merlin_models

mm = merlin_models()

import tensorflow as tf  # noqa: E402

__all__ = ["mm", "tf"]
