"""One extension of each kind, as another package would write it, for contracts and end-to-end tests."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from cascade.extensions import ColumnSpec, DataConfig, Op, Source, candidate_mask, negative_mask


def open_taste(config: DataConfig) -> Source:
    """Users of two tastes; half of the items are for either."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(config.options.get("users", 60)), 8)
    items = np.concatenate([rng.permutation(15)[:8] + 15 * (user % 2) for user in range(users[-1] + 1)])
    table = pa.table({"user_id": users, "item_id": items, "timestamp": np.arange(len(users))})
    return Source(lambda: iter([table.slice(0, 100), table.slice(100)]), table.num_rows)


@dataclass
class BlockList(Op):
    """candidate_rows int64 [B, K] -> the same without the ``rows`` that are blocked, -1 in their place."""

    rows: list[int]

    kind: ClassVar[str] = "block_list"

    @property
    def reads(self):
        return {"candidate_rows": ColumnSpec("int64", ("K",))}

    @property
    def writes(self):
        return self.reads

    def __call__(self, columns):
        rows = columns["candidate_rows"]
        return {"candidate_rows": np.where(np.isin(rows, self.rows), -1, rows)}


def margin(shared, own=None):
    """Mean of max(0, 1 + negative - positive) over a query's negatives."""
    from cascade.extensions import tf

    positive = tf.linalg.diag_part(shared)[:, None]
    logits, weights = [shared], [negative_mask(shared)]
    if own is not None:
        logits, weights = [*logits, own], [*weights, candidate_mask(own)]
    both, weight = tf.concat(logits, axis=1), tf.concat(weights, axis=1)
    loss = tf.nn.softplus(1 + both - positive) * weight
    return tf.reduce_sum(loss, axis=1) / tf.maximum(tf.reduce_sum(weight, axis=1), 1)


def scalar_quantized(vectors):
    """Eight bits for each number."""
    import faiss

    index = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return index


def last_item(positives, sequences):
    """What else was taken by those who took the user's last item."""
    together = (positives.T.astype(np.float32) @ positives.astype(np.float32)).toarray()
    return lambda users: together[sequences.last(users, 1)[:, 0]]


def hit_rate(hits, relevant, k):
    """1 where any of the first k is relevant."""
    return hits[:, :k].any(axis=1).astype(np.float64)


def interaction():
    """The class of an interaction: elementwise products of the sides' sums, which TensorFlow is needed for."""
    from cascade.extensions import Interaction, tf

    class SumProduct(Interaction):
        stacked = True

        def __init__(self, users, items, config):
            super().__init__(users, items, config)
            self.kernel = self.add_weight("kernel", (items.widths[0], self.hidden), initializer="glorot_uniform")

        @property
        def part_widths(self):
            return {"item_share": self.item_layout.widths[0]}

        def user_part(self, users):
            return {"sum": tf.reduce_sum(users, axis=1)}

        def item_part(self, items):
            return {"item_share": tf.reduce_sum(items, axis=1)}

        def pair(self, user, item, shape):
            product = item["item_share"] * tf.expand_dims(user["sum"], axis=1)
            return tf.matmul(tf.reshape(product, [-1, self.item_layout.widths[0]]), self.kernel)

    return SumProduct
