"""Which towers are served, and which ones the ranker learns with: they may know the validation part or not."""

import numpy as np
import pytest
from stage_runs import SECTIONS, STAGES, serving

from cascade.models.index.stage import VECTORS
from cascade.models.onnx.export import run, session
from cascade.models.ranker.retriever_scores import RetrieverScores
from cascade.models.ranker.stage import retriever
from cascade.models.retriever import linear_part
from cascade.models.retriever.linear_part import ChosenLinear, LinearPart
from cascade.models.retriever.stage import ITEM, QUERY, load_towers
from cascade.models.retriever.user_items import UserItems, hidden_items
from cascade.models.training.rows import Events, item_columns, user_columns

pytestmark = pytest.mark.slow


def part_of(codes, seed):
    rng = np.random.default_rng(seed)
    history, item = (rng.normal(size=(codes, 4)).astype(np.float32) for _ in range(2))
    return LinearPart(history, item / np.linalg.norm(item, axis=1).max(), 3.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory, shop, tensors):
    """two_tower and index, with two linear parts that have nothing in common."""
    codes = tensors.schema["history"].cardinality
    chosen = ChosenLinear(part_of(codes, 1), part_of(codes, 2))
    plain = SECTIONS["two_tower"]
    training = plain.training.model_copy(update={"epochs": 1})
    config = plain.model_copy(update={"linear": 4, "training": training})
    parts, sections = dict(shop), {"two_tower": config, **serving()}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(linear_part, "choose", lambda *given: (chosen, {"linear": "svd"}))
        for stage in (STAGES["two_tower"], STAGES["index"]):
            own = {name: sections[name] for name in stage.sections}
            parts[stage.name] = stage.run(tmp_path_factory.mktemp("served"), own, {n: parts[n] for n in stage.parents})
    return parts


@pytest.mark.parametrize("training_part", [False, True])
def test_both_pairs_of_towers_are_exported(made, tensors, training_part):
    folder, index = (made[name].path / ("checkpoint" if training_part else "") for name in ("two_tower", "index"))
    model = load_towers(made["two_tower"].path, tensors, training_part=training_part)
    users = user_columns(tensors, Events.of(tensors.interactions("test")))
    items = item_columns(tensors, np.arange(len(tensors.item_ids)))
    np.testing.assert_allclose(run(session(folder / QUERY), users), model.query(users), atol=1e-5)
    np.testing.assert_allclose(run(session(folder / ITEM), items), model.candidate(items), atol=1e-5)
    np.testing.assert_allclose(np.load(index / VECTORS), model.candidate(items), atol=1e-5)


def test_they_differ(made):
    served, learned = (np.load(made["index"].path / folder / VECTORS) for folder in ("", "checkpoint"))
    assert np.abs(served - learned).max() > 0.1


def test_the_ranker_learns_with_those_of_the_training_part(made, tensors):
    events = Events.positives(tensors.interactions("valid"))
    hidden = hidden_items(tensors)
    learned = load_towers(made["two_tower"].path, tensors, training_part=True)
    scores = (
        learned.query(user_columns(tensors, events)).numpy() @ np.load(made["index"].path / "checkpoint" / VECTORS).T
    )
    scores[hidden[events.user_row].toarray()] = -np.inf
    found = retriever(tensors, made, 5)(tensors, events, UserItems(hidden, events.user_row))
    best = np.sort(scores, axis=1)[:, -5:][:, ::-1]
    np.testing.assert_allclose(np.take_along_axis(scores, found, axis=1), best, atol=1e-5)
    similarity = RetrieverScores.of_training_part(made, tensors)
    columns = similarity.columns(events, found)
    np.testing.assert_allclose(np.einsum("nd,nkd->nk", columns["query"], columns["item_vectors"]), best, atol=1e-5)


def test_the_served_scores_are_those_of_the_served_towers(made, tensors):
    events = Events.positives(tensors.interactions("test"))
    rows = np.broadcast_to(np.arange(3), (len(events), 3))
    columns = RetrieverScores.served(made, tensors).columns(events, rows)
    model = load_towers(made["two_tower"].path, tensors)
    np.testing.assert_allclose(columns["query"], model.query(user_columns(tensors, events)), atol=1e-5)
    np.testing.assert_array_equal(columns["item_vectors"], np.load(made["index"].path / VECTORS)[rows])
