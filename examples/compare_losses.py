"""Three losses of the retriever side by side: python examples/compare_losses.py examples/shop.yaml

The stages before it run once; finished runs are not repeated. The figures are of the validation part, so that
the test part stays unseen until you have chosen.
"""

import sys

import cascade

LOSSES = ("sampled_softmax", "softmax", "bpr")


def main(path: str) -> None:
    """Train a retriever with each loss, and print the validation metrics."""
    for loss in LOSSES:
        config = cascade.load_config(path, overrides={"two_tower.loss": loss})
        metrics = cascade.run(config, only="two_tower")["two_tower"].metrics
        print(loss, {name: value for name, value in metrics.items() if isinstance(value, float)})


if __name__ == "__main__":
    main(*sys.argv[1:2])
