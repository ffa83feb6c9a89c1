"""Measure how close a model can come to the best possible AUC on the synthetic shop: fit the shop's own formula.

Run it from the repository's root: ``.venv/bin/python tests/benchmarks/shop_limit.py --interactions 1000000 --users 2000
--items 2000``. The shop draws clicks from a product of hidden vectors of user and item plus effects of price, discount
and time. The fitted model has the same form; its vectors are sums of embeddings of each side's features. Its distance
from the best possible AUC is due to the limited data. To compare with the ranker, run ``cascade run -c
examples/shop-10m.yaml --set data.synthetic.users=2000 ...``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from cascade.config.load import config_with_origins
from cascade.models import metrics
from cascade.models._merlin import tf
from cascade.models.training.loop import shuffled
from cascade.pipeline.stages import run
from cascade.workflows.etl.tensors import Tensors

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop-10m.yaml"
WEIGHTS = (1e-3, 3e-3, 1e-2)
"""Weights of the L2 penalty on a row's parameters. The one that is best on the validation part is used."""
CODES = {"user_id": "user", "geo": "user", "item_id": "item", "category": "item", "brand": "item", "device": "context"}
NUMBERS = {"price": "item", "discount": "item", "age_norm": "user", "session_time": "context"}
DIM, SIZE, EPOCHS, RATE = 12, 1024, 8, 5e-3


class Form(tf.Module):
    """logit = <user, item> + biases + numbers . (w + w_user + w_device)."""

    def __init__(self, rows):
        super().__init__()
        self.vectors = tf.Variable(tf.random.normal([rows, DIM], stddev=0.1))
        self.biases = tf.Variable(tf.zeros([rows, 1]))
        self.slopes = tf.Variable(tf.zeros([rows, len(NUMBERS)]))
        self.common = tf.Variable(tf.zeros([len(NUMBERS)]))

    def __call__(self, codes, numbers):
        """Logits [n], and the sum of squares for the L2 penalty."""
        vectors, biases = tf.gather(self.vectors, codes), tf.gather(self.biases, codes)
        slopes = tf.gather(self.slopes, tf.gather(codes, [0, 5], axis=1))
        user, item = tf.reduce_sum(vectors[:, :2], axis=1), tf.reduce_sum(vectors[:, 2:5], axis=1)
        linear = tf.reduce_sum((self.common + tf.reduce_sum(slopes, axis=1)) * numbers, axis=1)
        squares = sum(tf.reduce_sum(part**2) for part in (vectors, biases, slopes))
        return tf.reduce_sum(user * item, axis=1) + tf.reduce_sum(biases, axis=[1, 2]) + linear, squares


def part(tensors, name):
    """Codes [n, 6], offset so that each feature has its own range, numbers [n, 4] and labels [n]."""
    source = tensors.interactions(name)
    rows = {"user": (tensors.users, source.user_row), "item": (tensors.items, source.item_row)}

    def column(feature, side):
        return source.context[feature][:, 0] if side == "context" else rows[side][0][feature][rows[side][1], 0]

    starts = np.cumsum([0, *(tensors.schema[f].cardinality for f in CODES)])[:-1]
    codes = np.stack([column(f, side) + start for (f, side), start in zip(CODES.items(), starts, strict=True)], axis=1)
    numbers = np.stack([column(*feature) for feature in NUMBERS.items()], axis=1)
    return codes.astype("i4"), numbers.astype("f4"), source.label.astype("f4")


def fit(tensors, weight):
    """Fit the model: its AUC on the validation and on the test part."""
    tf.keras.utils.set_random_seed(0)
    form, train = Form(sum(tensors.schema[f].cardinality for f in CODES)), part(tensors, "train")
    steps = len(train[2]) // SIZE
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * steps))

    @tf.function
    def step(codes, numbers, label):
        with tf.GradientTape() as tape:
            logits, squares = form(codes, numbers)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(label, logits)) + weight * squares / SIZE
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, form.trainable_variables)]
        optimizer.apply_gradients(zip(gradients, form.trainable_variables, strict=True))

    rng = np.random.default_rng(0)
    for _ in range(EPOCHS):
        for at in shuffled(len(train[2]), SIZE, rng):
            step(*(column[at] for column in train))
    judged = (part(tensors, name) for name in ("valid", "test"))
    return [metrics.auc(form(codes, numbers)[0].numpy(), label > 0) for codes, numbers, label in judged]


def main():
    options = argparse.ArgumentParser(description=__doc__)
    for name in ("interactions", "users", "items"):
        options.add_argument(f"--{name}", type=int)
    given = vars(options.parse_args())
    config, _ = config_with_origins(
        EXAMPLE, [f"data.synthetic.{name}={value or 'null'}" for name, value in given.items()]
    )
    with tempfile.TemporaryDirectory() as runs:
        made = run(config, Path(runs), only=["etl"])
        best = made["data"].metrics["best_auc"]
        found = {weight: fit(Tensors.load(made["etl"].path), weight) for weight in WEIGHTS}
    weight = max(found, key=lambda own: found[own][0])
    print(f"best possible AUC {best:.4f}, its form fitted {found[weight][1]:.4f} (L2 {weight:g}, chosen on validation)")


if __name__ == "__main__":
    main()
