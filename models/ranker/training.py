"""Training of the ranker: weighted cross-entropy on its rows, validated by how well it orders candidates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from .._merlin import compiled, tf
from ..config import DlrmConfig
from ..layers.feature_gather import Lookup
from ..training.gradient_checkpointing import in_slices
from ..training.loop import WEIGHTS, Fit, fit, prepare
from ..training.optimizers import Optimizer
from ..training.progress import announce
from ..training.rows import Events, item_columns, user_columns
from ..training.step import TrainStep, traced_once
from ..training.worker_group import worker_group
from .candidates import PAD
from .dlrm import Dlrm, build
from .heads import combine, label_aucs, mean_auc
from .initial_embeddings import EmbeddingReset, warm_start
from .loss import list_loss, loss
from .rows import LISTED, CandidateRows, ImpressionRows, MixedRows, ValidRows, padded_items

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors
    from .transition_features import TransitionFeatures

TrainingRows = CandidateRows | ImpressionRows | MixedRows
REFIT = "refit"
"""Name of the folder for the weights of the second training, beside those of the first."""
COLD = "cold_start"
"""Name of the folder for the weights of the training that starts at random, beside those of the other one."""
MOST_HIDDEN = 0.7
"""Largest share of training rows whose user id is hidden by default: the ids of the others have to be learned, too."""
SCORED_ROWS = 65536
"""Rows scored at once in validation."""
SCORED_VALUES = 1 << 19
"""Values of item features, entries of lists included, that are scored at once: their embeddings take some 30 MB."""


def train(
    tensors: Tensors,
    rows: TrainingRows,
    config: DlrmConfig,
    checkpoint: Path,
    vectors: NDArray[np.float32] | None = None,
    *,
    validate: bool = True,
    title: str = "ranker",
) -> tuple[Dlrm, Fit, ValidRows | None]:
    """Train on ``rows`` with early stopping on their validation score: NDCG of candidates, else AUC of impressions.

    With several labels the score is the mean of the heads' AUCs, weighted as the labels are served.

    Args:
        checkpoint: folder for the weights.
        vectors: the retriever's item vectors float32 [n_items, D], at which item embeddings start with
            ``dlrm_ranker.warm_start``.
        validate: whether to validate; otherwise all epochs are taken.
        title: name of the training in progress and errors.

    Returns:
        The trained model, the result of the training, and the validation rows if there are any.

    Raises:
        DivergedError: if a score of the validation part is NaN.
    """
    prepare(config.training.seed)
    impressions = not isinstance(rows, CandidateRows)
    model, lookup = build(tensors.schema, config, tensors.items, impressions), Lookup(tensors, rows.followers)
    if not isinstance(rows, CandidateRows):
        for layer in model.rates:
            layer.table.assign(rows.rates[layer.feature].table)

    def initialize() -> None:
        if config.warm_start is not False and vectors is not None:
            warm_start(model.items.vectors.tables["item_id"], np.asarray(tensors.items["item_id"])[:, 0], vectors)

    initialize()
    valid = rows.valid(config.training.seed) if validate else None

    def score(of: str) -> float:
        assert valid is not None
        if valid.happened is not None:
            return mean_auc(label_aucs(score_heads(model, lookup, valid), valid.happened, of), model.share)
        return validation_score(score_rows(model, lookup, valid), valid, of)

    step = make_step(model, lookup, config, user_id_dropout(config, tensors) if impressions else 0.0)
    judged = score if valid else None
    begin = EmbeddingReset(model.tables, config.training.seed, initialize) if config.training.renew_embeddings else None
    create = partial(create_weights, model, tensors, rows.followers)
    found = fit(
        model,
        config.training,
        title,
        rows.steps,
        rows.batches,
        step,
        judged,
        checkpoint,
        begin=begin,
        create=create,
        score_name="AUC" if impressions else "NDCG",
    )
    return model, found, valid


@dataclass(frozen=True)
class Trained:
    """A trained ranker."""

    model: Dlrm
    fit: Fit
    valid: ValidRows | None
    """Its validation rows, if there are any."""
    config: DlrmConfig
    """The given one; its ``warm_start`` says where this ranker started."""
    valid_of_starts: dict[str, float] = field(default_factory=dict)
    """Where both starts were tried: the validation score of ``warm`` and ``cold``."""

    @property
    def trainings(self) -> int:
        """How many trainings it took."""
        return max(1, len(self.valid_of_starts))


def train_from_best_start(
    tensors: Tensors, rows: TrainingRows, config: DlrmConfig, checkpoint: Path, vectors: NDArray[np.float32]
) -> Trained:
    """Train; for impressions with ``dlrm_ranker.warm_start: null`` from both starts, to keep what validates better.

    Where most validation rows are of new users, the retriever's vectors tell the ranker what else to show them: the AUC
    of a quarter of MovieLens 1M is .008 higher. Where a log has few rows for each item they help to overfit: KuaiRand's
    is .001 lower. A ranker of candidates always starts at them, and so does one without a validation part.

    Args:
        checkpoint: folder for the weights of the model that is returned.
        vectors: the retriever's item vectors float32 [n_items, D].
    """

    def attempt(folder: Path, warm: bool, title: str = "ranker") -> Trained:
        own = config.model_copy(update={"warm_start": warm})
        return Trained(*train(tensors, rows, own, folder, vectors, title=title), own)

    again = (config.warm_start is None) + config.refit
    if again and not isinstance(rows, CandidateRows):
        start = "random vectors" if config.warm_start is False else "the retriever's vectors"
        announce("ranker", f"training 1 of at most {1 + again}: items start from {start}")
    first = attempt(checkpoint, config.warm_start is not False)
    if config.warm_start is not None or isinstance(rows, CandidateRows) or first.valid is None:
        return first
    announce(
        "ranker", f"training 2 of {2 + config.refit}: items start from random vectors, to keep what validates better"
    )
    second = attempt(checkpoint.with_name(COLD), False, "ranker from random vectors")
    scores = {"warm": cast(float, first.fit.score), "cold": cast(float, second.fit.score)}
    best = second if scores["cold"] > scores["warm"] else first
    if worker_group().chief:
        own = checkpoint.with_name(COLD)
        if best is second:
            (own / WEIGHTS).replace(checkpoint / WEIGHTS)
        shutil.rmtree(own)
    return replace(best, valid_of_starts=scores)


def create_weights(model: Dlrm, tensors: Tensors, followers: TransitionFeatures | None) -> None:
    """Call the model on one row, which creates its weights."""
    one, item = Events.of(tensors.interactions("train")).take(np.zeros(1, np.int64)), np.zeros((1, 1), np.int64)
    both = followers.columns(one, item) if followers else {}
    model({**user_columns(tensors, one), **item_columns(tensors, item), **both})


def refit(
    tensors: Tensors,
    rows: TrainingRows,
    config: DlrmConfig,
    checkpoint: Path,
    vectors: NDArray[np.float32] | None,
    found: Fit,
    valid: ValidRows | None,
    *,
    before: int = 1,
) -> Dlrm | None:
    """Train anew on the impressions of both parts, as long as was best; its weights take the place of the first ones.

    Without it, what is served has learned nothing from the newest rows.

    Args:
        rows, checkpoint, vectors: as for `train`.
        found, valid: what `train` returned.
        before: how many trainings there were before.

    Returns:
        None if there is nothing to learn from: no validation part, or a ranker of candidates.
    """
    if not config.refit or valid is None or isinstance(rows, CandidateRows):
        return None
    number, epochs = before + 1, found.best_epoch
    announce(
        "ranker",
        f"training {number} of {number}: with the validation part too, for the best number of epochs, {epochs}",
    )
    best = config.training.model_copy(update={"epochs": found.best_epoch})
    own = checkpoint.with_name(REFIT)
    again = config.model_copy(update={"training": best})
    model, *_ = train(tensors, rows.with_newest(again), again, own, vectors, validate=False)
    if worker_group().chief:
        (own / WEIGHTS).replace(checkpoint / WEIGHTS)
        own.rmdir()
    return model


def user_id_dropout(config: DlrmConfig, tensors: Tensors) -> float:
    """``dlrm_ranker.user_id_dropout`` with what null stands for.

    A log of users with a few rows each shows users of whom little is known anyway; there it would only hide what helps.
    """
    if config.user_id_dropout is not None:
        return config.user_id_dropout
    train, valid = (tensors.interactions(part).user_row for part in ("train", "valid"))
    rows = np.bincount(train, minlength=len(tensors.user_ids))
    if not len(valid):
        return 0.0
    new, first = (rows[valid] == 0).mean(), (rows > 0).sum() / len(train)
    return float(np.clip(new - first, 0, MOST_HIDDEN))


def make_step(model: Dlrm, lookup: Lookup, config: DlrmConfig, user_ids: float = 0.0) -> TrainStep:
    """A compiled training step from a batch to its loss (nats per row).

    Args:
        user_ids: share of rows whose user id alone is hidden, see `user_id_dropout`.
    """
    optimizer = Optimizer(config.training)
    rows = ("items", "label", "log_rate", "weight")

    def logits(columns: Mapping[str, Any]) -> Any:
        return model(columns, training=True, heads=True)

    def scored(batch: Mapping[str, Any]) -> Any:
        moment = {name: values for name, values in batch.items() if name not in rows}
        users = lookup.users(moment, config.id_dropout, user_ids)
        items = lookup.items(batch["items"], config.item_id_dropout)
        columns = {**users, **items}
        return in_slices(logits, columns) if config.training.recompute else logits(columns)

    @compiled(reduce_retracing=True)
    def step(batch: Mapping[str, Any]) -> Any:
        logged = {name: values for name, values in batch.items() if not name.startswith(LISTED)}
        lists = {name.removeprefix(LISTED): batch[name] for name in batch if name not in logged}
        with tf.GradientTape() as tape:
            found = loss(scored(logged), logged, config)
            if lists:
                found += config.list_weight * list_loss(served_logits(scored(lists), model.share), lists)
        optimizer.minimize(tape, found, model.trainable_variables)
        return worker_group().total(found)

    return TrainStep(traced_once(step), optimizer).on(own_part)


def served_logits(logits: Any, share: Sequence[float]) -> Any:
    """The logits [B, M] that are served, from those of all labels [B, M, T]."""
    flat = tf.reshape(logits, [-1, len(share)])
    return tf.reshape(combine(tf.split(flat, len(share), axis=1), share), tf.shape(logits)[:2])


def own_part(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """This worker's part of a batch."""
    return {name: worker_group().part(values) for name, values in batch.items()}


def score_rows(model: Any, lookup: Lookup, rows: ValidRows) -> NDArray[np.float32]:
    """Logits float32 [n, K] of a model of user and item columns; -inf where there is no candidate."""
    none = np.zeros((0, rows.candidates.shape[1]), np.float32)
    found = [none, *(model(columns).numpy() for columns in column_chunks(lookup, rows))]
    return np.where(rows.candidates == PAD, -np.inf, np.concatenate(found))


def score_heads(model: Dlrm, lookup: Lookup, rows: ValidRows) -> NDArray[np.float32]:
    """Logits float32 [n, T] of all labels, for impressions."""
    found = [model(columns, heads=True).numpy()[:, 0] for columns in column_chunks(lookup, rows)]
    return np.concatenate(found)


def column_chunks(lookup: Lookup, rows: ValidRows) -> Iterator[dict[str, Any]]:
    """The inputs of the model for ``rows``, in chunks of about `SCORED_ROWS` rows and `SCORED_VALUES` of items."""
    one = lookup.items(np.zeros((1, 1), np.int32)).values()
    values = sum(int(column.shape[-1]) for column in one)  # long lists and texts of items are many
    step = max(1, min(SCORED_ROWS, SCORED_VALUES // values) // rows.candidates.shape[1])
    for at in range(0, len(rows.events), step):
        part = np.arange(at, min(at + step, len(rows.events)))
        events, items = rows.events.take(part), padded_items(rows.candidates[part])
        both = lookup.followers.columns(events, items) if lookup.followers else {}
        yield {**lookup.users(events.queries()), **lookup.items(items), **both}


def validation_score(logits: NDArray[np.float32], rows: ValidRows, of: str = "ranker") -> float:
    """How well ``logits`` [n, K] order the candidates of each request.

    NDCG over all candidates, 0 where the positive is not among them; AUC where each request has one candidate.

    Args:
        of: what was scored, for the error: "ranker, epoch 3".

    Raises:
        DivergedError: if a logit is NaN.
    """
    if rows.candidates.shape[1] == 1:
        found = metrics.auc(logits[:, 0], rows.label[:, 0], of)
        assert found is not None, "validation impressions hold both labels"
        return found
    return float(metrics.target_ndcg(positive_ranks(logits, rows.label, of)).mean())


def positive_ranks(logits: NDArray[np.float32], label: NDArray[np.bool_], of: str = "ranker") -> metrics.Values:
    """Rank [n] of the positive among its candidates [n, K], 0 is best; inf where it is not among them."""
    return metrics.target_ranks(logits, np.where(label.any(axis=1), label.argmax(axis=1), -1), of)
