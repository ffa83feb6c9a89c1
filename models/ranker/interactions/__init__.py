"""Interactions of user and item vectors: one class per file, all with the interface of `base`."""

from .base import Interaction
from .concat import Concat
from .cross import Cross
from .dot import Dot

INTERACTIONS: dict[str, type[Interaction]] = {"dot": Dot, "concat": Concat, "cross": Cross}
"""``dlrm_ranker.interactions`` -> its class."""

__all__ = ["INTERACTIONS", "Concat", "Cross", "Dot", "Interaction"]
