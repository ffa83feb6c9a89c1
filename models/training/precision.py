"""Mixed precision: the hidden layers of Merlin's MLP blocks compute in 16 bits, everything else in 32.

Weights stay float32, and so do embeddings, interactions, the last layer of each block, and losses (Micikevicius et al.,
"Mixed precision training", 2018). Keras's policy is set on the hidden layers only: a global policy would need support
in every layer, and would still be in force for the next model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Precision = Literal["fp32", "fp16", "bf16"]
POLICIES: dict[Precision, str] = {"fp32": "float32", "fp16": "mixed_float16", "bf16": "mixed_bfloat16"}


@contextmanager
def mixed(model: Any, precision: Precision) -> Iterator[None]:
    """A context in which the model's hidden layers compute in ``precision``; afterwards in fp32, for the export.

    Args:
        model: must not have computed anything yet, because a layer creates its weights under its policy.
    """
    layers = [] if precision == "fp32" else hidden_layers(model)
    set_policy(layers, precision)
    try:
        yield
    finally:
        set_policy(layers, "fp32")


def hidden_layers(model: Any) -> list[Any]:
    """The dense layers of the model's MLP blocks except the last of each, whose output stays fp32."""
    from .._merlin import mm

    blocks = [part for part in model.submodules if isinstance(part, mm.SequentialBlock)]
    return [layer for block in blocks for layer in block.layers[:-1] if hasattr(layer, "dense")]


def set_policy(layers: list[Any], precision: Precision) -> None:
    """Set the policy of Merlin's dense layers and of the Keras layers inside. Keras has no public method for it."""
    for layer in layers:
        layer._set_dtype_policy(POLICIES[precision])
        layer.dense._set_dtype_policy(POLICIES[precision])
