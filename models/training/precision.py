"""Mixed precision: the hidden layers of Merlin's MLP blocks compute in 16 bits, everything around them in 32.

Micikevicius et al., "Mixed precision training", 2018: weights are float32, and so are embeddings, interactions, the
last layer of each block, losses. It is Keras's own policy on these layers rather than the global one, under which every
layer would have to be ready for it, and which would stay for what is built next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Precision = Literal["fp32", "fp16", "bf16"]
POLICIES: dict[Precision, str] = {"fp32": "float32", "fp16": "mixed_float16", "bf16": "mixed_bfloat16"}


@contextmanager
def mixed(model: Any, precision: Precision) -> Iterator[None]:
    """Within it the model's hidden layers compute in ``precision``; after it in fp32 again, as they are exported.

    Args:
        model: has not computed anything yet: a layer's weights are made for a policy.
    """
    layers = [] if precision == "fp32" else hidden_layers(model)
    set_policy(layers, precision)
    try:
        yield
    finally:
        set_policy(layers, "fp32")


def hidden_layers(model: Any) -> list[Any]:
    """The dense layers of the model's MLP blocks, but for the last of each: what it gives goes on in fp32."""
    from .._merlin import mm

    blocks = [part for part in model.submodules if isinstance(part, mm.SequentialBlock)]
    return [layer for block in blocks for layer in block.layers[:-1] if hasattr(layer, "dense")]


def set_policy(layers: list[Any], precision: Precision) -> None:
    """For Merlin's dense layers and Keras's within; Keras has no public way to change a layer's policy."""
    for layer in layers:
        layer._set_dtype_policy(POLICIES[precision])
        layer.dense._set_dtype_policy(POLICIES[precision])
