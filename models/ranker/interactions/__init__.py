"""How the ranker lets a user's vectors meet an item's: one class a file, behind one interface."""

from .base import Interaction
from .concat import Concat
from .cross import Cross
from .dot import Dot

INTERACTIONS: dict[str, type[Interaction]] = {"dot": Dot, "concat": Concat, "cross": Cross}
"""``dlrm_ranker.interactions`` -> its class."""

__all__ = ["INTERACTIONS", "Concat", "Cross", "Dot", "Interaction"]
