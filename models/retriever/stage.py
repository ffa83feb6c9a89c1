"""The two_tower stage: train the retriever, export both towers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...core.artifact import Artifact
from ...core.memory import MemoryNeed
from ...core.stage import Sections, Stage
from ...workflows.data.repeats import keeps_seen
from .. import metrics
from ..config import TwoTowerConfig
from .neighbours import Neighbours
from .variants.settings import inputs

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Tensors
    from ..layers.feature_gather import Lookup
    from ..training.rows import Events
    from .two_tower import TwoTower

QUERY, ITEM, CHECKPOINT = "query_tower.onnx", "item_tower.onnx", "checkpoint"
CONFIG = "two_tower.json"
EVENT_BYTES, SCORE_BYTES, PAIR_BYTES = 100, 16, 16
"""Bytes of a training interaction (row numbers, place in epochs, matrix of users and items), of a score, and of a count
of two items that a user has."""
GRAPH_BYTES = 200_000_000
"""What TensorFlow and the conversion to ONNX take whatever the data, beside what is imported; measured."""
PARITY_ROWS = 512
"""Rows on which the ONNX models are compared with TensorFlow."""


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``query_tower.onnx``, ``item_tower.onnx``, ``checkpoint/`` and what `put_beside` saves.

    If the served model knows the validation part, ``checkpoint/`` has the towers that do not, see `of_training_part`.
    """
    from ...workflows.etl.tensors import Tensors
    from ..layers.feature_gather import Lookup
    from ..training.progress import announce
    from ..training.rows import valid_positives
    from .full_ranks import rank_metrics
    from .linear_part import LinearPart
    from .training import VALID_EVENTS, train, valid_ranks
    from .user_items import hidden_items
    from .variants.choice import choose

    tensors = Tensors.load(parents["etl"].path)
    keep_seen = recommends_seen(sections, parents)
    chosen = choose(tensors, cast(TwoTowerConfig, sections["two_tower"]), folder, keep_seen=keep_seen)
    config = chosen.config
    model, found = train(tensors, config, folder / CHECKPOINT, keep_seen=keep_seen)
    (folder / CHECKPOINT / CONFIG).write_text(config.model_dump_json(indent=1))
    valid = valid_positives(tensors, config.valid_history)
    facts = [found.metrics("ndcg"), chosen.facts]
    hidden = hidden_items(tensors, keep_seen=keep_seen)
    lookup = Lookup(tensors)
    facts.append(put_beside(folder, model, lookup, tensors, valid, hidden, config))
    results = together(facts)
    announce("two_tower", "after the epochs: measuring the validation lists and exporting the towers to ONNX")
    valid = valid.sample(VALID_EVENTS, config.training.seed)
    if len(valid):
        ranks = valid_ranks(model, lookup, valid, hidden, neighbours=Neighbours.load(folder / CHECKPOINT))
        results |= {"valid_ndcg": float(metrics.target_ndcg(ranks).mean())}
        results |= {f"valid_{name}": value for name, value in rank_metrics(ranks).items()}
    results |= {"recsys_hardneg_share": found.hard_share, "temperature": found.temperature}
    difference = 0.0
    if (served := LinearPart.load(folder)) is not None:
        difference = export_towers(folder / CHECKPOINT, model, tensors)
        served.beside(model)
    return results | {"onnx_max_difference": max(difference, export_towers(folder, model, tensors))}


def together(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The metrics of several steps, with the notices of all."""
    notices = [notice for of_step in facts for notice in of_step.get("notices", [])]
    every = {name: value for of_step in facts for name, value in of_step.items()}
    return every | ({"notices": notices} if notices else {})


def of_training_part(folder: Path, name: str) -> Path:
    """The file ``name`` of a two_tower or index artifact that knows the training part alone.

    For what learns from the validation part: the served one may know it.
    """
    own = folder / CHECKPOINT / name
    return own if own.is_file() else folder / name


def put_beside(
    folder: Path, model: TwoTower, lookup: Lookup, tensors: Tensors, valid: Events, hidden: csr_matrix,
    config: TwoTowerConfig,
) -> dict[str, Any]:  # fmt: skip
    """Choose what stands beside the towers, and save it: ``linear.npz`` and ``neighbours.npz``, in ``folder`` fitted on
    everything before the test part, in its checkpoint on the training part. The latter ``linear.npz`` becomes a part of
    ``model``.

    Args:
        valid: positives of the validation part, with the histories that are known when a list is asked for.
        hidden: bool [n_users, n_items], items that are not ranked.

    Returns:
        Metrics: what was chosen.
    """
    from ..training.progress import announce
    from ..training.rows import Events, valid_positives
    from . import linear_part, neighbour_choice
    from .encode import encode_items, encode_users
    from .mixtures import FEWEST_REQUESTS, Requests

    facts: dict[str, Any] = {}
    every = Requests.of(valid, len(tensors.item_ids))
    asked = every.few()
    if config.linear:
        announce("two_tower", "after the epochs: fitting a linear part beside the towers")
        part, facts = (
            linear_part.choose(model, lookup, tensors, asked, hidden, config.linear)
            if len(asked)
            else linear_part.without_validation(model, lookup, tensors, config.linear)
        )
        if part is not None:
            part.train.save(folder / CHECKPOINT)
            part.served.save(folder)
            part.train.beside(model)
    if not (config.neighbours or config.popular):
        return facts
    chosen: neighbour_choice.ChosenNeighbours | None = None
    some = asked.events if len(asked) else Events.positives(tensors.interactions("train")).sample(FEWEST_REQUESTS, 0)
    vectors = encode_users(model, lookup, some), encode_items(model, lookup, len(tensors.item_ids))
    if config.neighbours:
        announce("two_tower", "after the epochs: fitting item-item weights (neighbours)")
        chosen, own = (
            neighbour_choice.choose(*vectors, tensors, asked, hidden, config.neighbours)
            if len(asked)
            else neighbour_choice.without_validation(*vectors, tensors, some, config.neighbours)
        )
        facts |= own
    if config.popular and len(asked):
        announce("two_tower", "after the epochs: choosing how much popularity counts")
        without = chosen
        chosen, own = neighbour_choice.add_popularity(chosen, *vectors, tensors, asked, hidden, config.popular)
        facts |= own
        pushed = Requests.of(valid_positives(tensors, "at_event"), len(tensors.item_ids))
        if chosen is not None and facts["popularity"] and len(pushed) > len(every):
            few = pushed.few()
            queries = encode_users(model, lookup, few.events)
            facts |= neighbour_choice.with_pushes(without, chosen, queries, vectors[1], few, hidden)
    if chosen is not None:
        chosen.train.save(folder / CHECKPOINT)
        chosen.served.save(folder)
    return facts


def take_part(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> None:
    """The training part of ``fill``, for a worker that is not the chief."""
    from ...workflows.etl.tensors import Tensors
    from .training import train
    from .variants.choice import choose

    tensors, keep_seen = Tensors.load(parents["etl"].path), recommends_seen(sections, parents)
    config = choose(tensors, cast(TwoTowerConfig, sections["two_tower"]), folder, keep_seen=keep_seen).config
    train(tensors, config, folder / CHECKPOINT, keep_seen=keep_seen)


def recommends_seen(sections: Sections, parents: Mapping[str, Artifact]) -> bool:
    """Whether items that a user has seen are recommended again: ``serving.seen``, or what the data decides."""
    seen: Any = sections["serving.seen"]
    return keeps_seen(seen.value, parents["data"].path)


def export_towers(folder: Path, model: Any, tensors: Tensors) -> float:
    """Write both towers as ONNX; returns their largest absolute difference from TensorFlow on real rows.

    Raises:
        ArtifactError: if it is above the tolerance.
    """
    from ..onnx.export import check_parity, export, specs
    from ..training.rows import Events, item_columns, user_columns

    schema = tensors.schema
    export(folder / QUERY, model.query, specs(schema.side("user", "context"), None), "query")
    export(folder / ITEM, model.candidate, specs(schema.side("item"), None), "item_vector")
    users = user_columns(tensors, Events.of(tensors.interactions("train")).sample(PARITY_ROWS, seed=0))
    items = item_columns(tensors, np.arange(min(PARITY_ROWS, len(tensors.item_ids))))
    return max(
        check_parity(folder / QUERY, model.query(users).numpy(), users),
        check_parity(folder / ITEM, model.candidate(items).numpy(), items),
    )


def load_towers(folder: Path, tensors: Tensors, *, training_part: bool = False) -> Any:
    """The served retriever of the two_tower artifact in ``folder``, as a TensorFlow model.

    Args:
        training_part: whether it is the one that knows the training part alone.
    """
    from ..training.loop import WEIGHTS
    from .linear_part import LinearPart
    from .training import create_weights
    from .two_tower import build

    config = TwoTowerConfig.model_validate_json((folder / CHECKPOINT / CONFIG).read_text())
    model = build(tensors.schema, config, tensors.items)
    create_weights(model, tensors)
    model.load_weights(str(folder / CHECKPOINT / WEIGHTS))
    if (part := LinearPart.load(folder / CHECKPOINT if training_part else folder)) is not None:
        part.beside(model)
    return model


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """What the retriever holds beside its tables, which the training itself estimates, see `memory_estimate`."""
    from ...workflows.etl.tensors import Tensors
    from .item_to_item.ease import most_counts
    from .item_to_item.factorizations import most_bytes
    from .linear_part import MOST_POSITIVES

    config, tensors = cast(TwoTowerConfig, sections["two_tower"]), Tensors.load(parents["etl"].path)
    source, items = tensors.interactions("train"), len(tensors.item_ids)
    of_user = np.bincount(source.user_row[source.positive])
    pairs = most_counts(of_user, items) if config.neighbours else 0
    factors, share = 0, min(1, MOST_POSITIVES / max(1, of_user.sum()))
    if config.linear:  # on a share of the users, see `linear_part`
        factors = most_bytes(int(share * (of_user > 0).sum()), items, int(share * of_user.sum()), config.linear)
    return MemoryNeed(
        {
            f"{len(source):,} interactions": EVENT_BYTES * len(source),
            f"scores of queries for {items:,} items": SCORE_BYTES * min(512 * items, 1 << 26),
            f"SVD and iALS, then EASE of {pairs:,} pairs of items": max(factors, PAIR_BYTES * pairs),
            "TensorFlow's graphs and ONNX": GRAPH_BYTES,
        },
        "give fewer interactions, for example the latest ones, or lower etl.max_size of item_id",
    )


TWO_TOWER = Stage(
    name="two_tower",
    help="Train the two-tower retriever and export its towers.",
    sections=("two_tower", "serving.seen"),
    parents=("data", "etl"),
    fill=fill,
    take_part=take_part,
    inputs=inputs,
    memory=memory,
    version=13,
)
