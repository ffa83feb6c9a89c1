"""How the ranker combines the vectors of a user and an item: one class per file.

In: float32 vectors of the user's and the item's features. Out: the first layer of the top network. Start with `base`
for the interface, then `dot`.
"""

from .base import Interaction
from .concat import Concat
from .cross import Cross
from .dot import Dot

INTERACTIONS: dict[str, type[Interaction]] = {"dot": Dot, "concat": Concat, "cross": Cross}
"""``dlrm_ranker.interactions`` -> its class."""

__all__ = ["INTERACTIONS", "Concat", "Cross", "Dot", "Interaction"]
