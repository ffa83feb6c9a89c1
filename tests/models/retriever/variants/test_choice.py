"""The choice of the towers: when something is tried, what is kept of it, and one choice for all workers."""

import numpy as np
import pytest
from model_shop import make_shop

from cascade.core.artifact import RESUME, unfinished_path
from cascade.models.config import TwoTowerConfig
from cascade.models.retriever.stage import together
from cascade.models.retriever.variants.choice import choose
from cascade.models.training import worker_group as groups
from cascade.models.training.worker_group import SingleWorker, worker_group
from cascade.workflows.etl.tensors import Tensors

AUTO = TwoTowerConfig(auto=True)


@pytest.fixture(scope="module")
def tensors(tmp_path_factory):
    return Tensors.load(make_shop(tmp_path_factory.mktemp("shop"), rich=False)["etl"].path)


def unfinished(folder):
    path = unfinished_path(folder / "runs" / "key")
    path.mkdir(parents=True)
    return path


def never(variant, watch):
    raise AssertionError(f"{variant.name} is trained")


def scored(**gains):
    """Stands for trainings: variants have these gains over the configured towers, which have random NDCGs."""

    def score(variant, watch):
        own = np.random.default_rng(0).random(200)
        return own + gains.get(variant.name.replace(" ", "_"), 0.0)

    return score


def test_without_auto_nothing_is_tried(tensors, tmp_path):
    config = TwoTowerConfig()
    chosen = choose(tensors, config, tmp_path, score=never)
    assert chosen.config is config and chosen.facts == {}


def test_the_best_variant_is_the_config_and_the_metrics_say_why(tensors, tmp_path):
    folder = unfinished(tmp_path)
    chosen = choose(tensors, AUTO, folder, score=scored(few_user_ids=0.02, transformer=0.05))
    assert chosen.config == TwoTowerConfig.model_validate(
        {"auto": True, "user_tower": {"history": {"kind": "transformer"}}}
    )
    facts = chosen.facts["variants"]
    assert (facts["chosen"], facts["changed"]) == ("transformer", {"user_tower.history.kind": "transformer"})
    assert facts["sample"] == {"positives": 2000, "events": 200, "users": 200}
    assert len(facts["tried"]) == 6 and "notices" not in chosen.facts
    assert list(folder.iterdir()) == [], "what was trained is gone"


def test_a_run_that_was_killed_keeps_what_it_found(tensors, tmp_path):
    """The training goes on from its checkpoint, which is of the towers that were chosen then."""
    folder = unfinished(tmp_path)
    first = choose(tensors, AUTO, folder, score=scored(wide_items=0.1))
    assert choose(tensors, AUTO, folder, score=never) == first
    [kept] = (tmp_path / "runs" / f"key{RESUME}").iterdir()
    kept.unlink()
    again = choose(tensors, AUTO, folder, score=scored(transformer=0.1))
    assert again.facts["variants"]["chosen"] == "transformer", "without it variants are tried again"


@pytest.mark.parametrize(
    ("shop", "found"),
    [({"valid": False}, 0), ({"users": 99}, 99)],
    ids=["no validation part", "few users"],
)
def test_without_enough_users_nothing_is_tried(shop, found, tmp_path):
    tensors = Tensors.load(make_shop(tmp_path, rich=False, **shop)["etl"].path)
    chosen = choose(tensors, AUTO, unfinished(tmp_path), score=never)
    assert chosen.config == AUTO
    assert chosen.facts["variants"]["tried"] == {}
    assert chosen.facts["notices"] == [
        f"two_tower.auto: needs validation positives of 100 users or more, the sample has those of {found}, so nothing "
        "was tried and the towers are as configured"
    ]


def test_a_config_that_sets_everything_leaves_nothing_to_try(tensors, tmp_path):
    config = TwoTowerConfig.model_validate_json(TwoTowerConfig(auto=True).model_dump_json())
    chosen = choose(tensors, config.model_copy(), unfinished(tmp_path), score=never)
    assert chosen.config == config
    assert chosen.facts["notices"] == [
        "two_tower.auto: the config sets every key that it would try, so nothing was tried"
    ]


def test_the_stage_keeps_the_notices_of_all_its_steps():
    steps = [{"epochs": 2, "notices": ["a"]}, {"variants": {}}, {"notices": ["b", "c"]}]
    assert together(steps) == {"epochs": 2, "variants": {}, "notices": ["a", "b", "c"]}
    assert together([{"epochs": 2}]) == {"epochs": 2}


class Group(SingleWorker):
    """One of two workers; the chief has chosen variant 3."""

    count = 2

    def __init__(self, index):
        self.index = index

    def of_chief(self, value):
        return value() if self.chief else 3.0


@pytest.mark.parametrize("index", [0, 1])
def test_of_several_workers_the_chief_tries_alone(index, tensors, tmp_path):
    token = groups._GROUP.set(Group(index))
    gains, seen = scored(few_user_ids=0.1), []

    def score(variant, watch):
        assert index == 0
        seen.append(worker_group().count)
        return gains(variant, watch)

    try:
        chosen = choose(tensors, AUTO, unfinished(tmp_path), score=score)
        assert worker_group().index == index
    finally:
        groups._GROUP.reset(token)
    assert chosen.config.user_id_dropout == 0.9
    assert seen == ([1] * 6 if index == 0 else [])
