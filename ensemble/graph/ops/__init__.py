"""The ops of the request path, one a file. They import numpy, numba, onnxruntime and faiss, nothing heavier.

In: the columns of a request, batch first. Out: the columns of the answer. Start with `base` for the contract, then
`lookup_user`, the first op; `OPS` lists them in the order in which they run.
"""

from .base import Op, Reason
from .drop_seen import DropSeen
from .encode_query import EncodeQuery
from .lookup_items import LookupItems
from .lookup_user import LookupUser
from .merge_neighbours import MergeNeighbours
from .order import Order
from .rank import Rank
from .respond import Respond
from .retrieve import Retrieve
from .transform import Transform

OPS: dict[str, type[Op]] = {
    op.kind: op
    for op in (
        *(LookupUser, Transform, EncodeQuery, Retrieve, MergeNeighbours, DropSeen),
        *(LookupItems, Rank, Order, Respond),
    )
}
"""kind -> class: what graph.json may name. Ops of other packages are found by `core.registry`."""

__all__ = [
    "OPS",
    "DropSeen",
    "EncodeQuery",
    "LookupItems",
    "LookupUser",
    "MergeNeighbours",
    "Op",
    "Order",
    "Rank",
    "Reason",
    "Respond",
    "Retrieve",
    "Transform",
]
