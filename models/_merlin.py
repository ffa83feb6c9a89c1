"""Merlin Models and TensorFlow; importing this module imports both, in the only order that works.

`_merlin_compat` is a separate module because it can be imported without TensorFlow.
"""

from functools import partial

from ._merlin_compat import merlin_models

mm = merlin_models()

import tensorflow as tf  # noqa: E402

compiled = partial(tf.function, autograph=False)
"""`tf.function` without AutoGraph, which none of our code needs.

Rewriting the source of every layer took as long as the tracing itself, and a source file that was edited during a
training broke its export.
"""

__all__ = ["compiled", "mm", "tf"]
