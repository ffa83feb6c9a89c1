"""``serving.seen: keep`` in the retriever's training: what is masked, up to the first step."""

import pytest
from model_shop import make_shop

from cascade.models.config import TowerConfig, TwoTowerConfig
from cascade.models.retriever import training
from cascade.workflows.etl.tensors import Tensors

CONFIG = TwoTowerConfig(
    user_tower=TowerConfig(default_dim=4, mlp=[4]), item_tower=TowerConfig(default_dim=4, mlp=[4]), neg_sampling="hard"
)


class Stop(Exception):
    """Ends a training before its first step."""


@pytest.mark.parametrize("keep", [False, True])
def test_what_a_user_had_is_masked_only_if_it_is_not_kept(tmp_path, monkeypatch, keep):
    tensors = Tensors.load(make_shop(tmp_path, users=20, items=30, dislikes=True)["etl"].path)
    masked = {}

    def mining(step, model, lookup, config, positives):
        masked["mined"] = positives.nnz
        return step

    def ranks(model, lookup, valid, hidden, of):
        masked["ranked"] = hidden.toarray()
        raise Stop

    def fit(model, config, name, steps, batches, step, score, checkpoint, **options):
        score("two_tower, epoch 1")

    for name, stand_in in (("with_mining", mining), ("valid_ranks", ranks), ("fit", fit)):
        monkeypatch.setattr(training, name, stand_in)
    with pytest.raises(Stop):
        training.train(tensors, CONFIG, tmp_path / "checkpoint", keep_seen=keep)
    source = tensors.interactions("train")
    liked = set(zip(source.user_row[source.positive], source.item_row[source.positive], strict=True))
    hidden = {(user, item) for user, row in enumerate(masked["ranked"]) for item in row.nonzero()[0]}
    assert masked["mined"] == (0 if keep else len(liked))
    assert hidden == set(zip(source.user_row, source.item_row, strict=True)) - (liked if keep else set())
