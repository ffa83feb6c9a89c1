"""Training and validation rows of the ranker: logged impressions, or positives among the retriever's candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.features import HISTORY
from ...workflows.tables.target_encoding import draw_folds
from ..config import DlrmConfig, ValidHistory
from ..onnx.export import run, session
from ..retriever.neighbours import Neighbours, Reach
from ..retriever.user_items import UserItems, disliked, hidden_items
from ..training.loop import shuffled
from ..training.rows import Events, sampled, user_columns, valid_positives
from .candidates import PAD, Sampler, retrieve
from .heads import (
    draw_label,
    has_both_labels,
    shares,
    targets,
)
from .target_encoding import PREFIX, Encoded, encode_rates

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Tensors
    from .transition_features import TransitionFeatures

VALID_EVENTS = 5000
"""Largest number of validation events; impressions are up to 20 times as many."""
CHUNK = 4096
"""Events whose candidates are retrieved at once."""
LISTED = "listed:"
"""Prefix of the batch columns of lists that are trained on beside impressions."""
MIN_STEPS, MIN_ROWS = 100, 256
"""Batches of impressions shrink until an epoch has MIN_STEPS steps, but not below MIN_ROWS rows."""


@dataclass(frozen=True)
class Retriever:
    """The exported query tower, the index and the neighbours, with which the served graph retrieves too."""

    query: Any
    index: Any
    topk: int
    neighbours: tuple[Neighbours, NDArray[np.float32]] | None = None
    """Item-item weights, and the vectors [n_items, D] of all items."""
    valid_history: ValidHistory = "before_valid"
    """``two_tower.valid_history``."""

    @classmethod
    def load(
        cls,
        query_tower: Path,
        index: Path,
        topk: int,
        neighbours: tuple[Neighbours, NDArray[np.float32]] | None = None,
        valid_history: ValidHistory = "before_valid",
    ) -> Retriever:
        import faiss

        return cls(session(query_tower), faiss.read_index(str(index)), topk, neighbours, valid_history)

    def __call__(self, tensors: Tensors, events: Events, seen: UserItems) -> NDArray[np.int32]:
        """Candidates int32 [n, topk] of events, without the items in ``seen``; padded with -1."""
        found = [np.zeros((0, self.topk), np.int32)]
        for at in range(0, len(events), CHUNK):
            part = np.arange(at, min(at + CHUNK, len(events)))
            columns = user_columns(tensors, events.take(part))
            reach = Reach(*self.neighbours, columns[HISTORY]) if self.neighbours else None
            found.append(retrieve(self.index, run(self.query, columns), seen.take(part), self.topk, reach))
        return np.concatenate(found)


@dataclass(frozen=True)
class ValidRows:
    """Validation rows: n requests with K candidates each."""

    events: Events
    candidates: NDArray[np.int32]
    """[n, K] item rows, padded with -1."""
    label: NDArray[np.bool_]
    """[n, K]; with several labels it is one of them, drawn with their weights in the score (see ``heads``)."""
    happened: NDArray[np.float32] | None = None
    """[n, T], all labels, if there are several."""


class CandidateRows:
    """Positives of the training part against sampled candidates, see ``candidates``.

    Args:
        shown_again, keep_seen: which items of the user are candidates, see `hidden_items`.

    Raises:
        DataError: if the training part holds no positive.
    """

    def __init__(
        self,
        tensors: Tensors,
        retriever: Retriever,
        config: DlrmConfig,
        followers: TransitionFeatures | None = None,
        *,
        shown_again: bool = False,
        keep_seen: bool = False,
    ) -> None:
        self.tensors, self.retriever, self.followers = tensors, retriever, followers
        source = tensors.interactions("train")
        positives = np.flatnonzero(source.positive)
        self.at = positives[sampled(len(positives), config.max_events, config.training.seed)]
        self.events = Events.of(source).take(self.at)
        if not len(self.events):
            raise DataError("interactions: the training part holds no positive, the ranker needs some")
        self.hidden = hidden_items(tensors, shown_again=shown_again, keep_seen=keep_seen)
        self.disliked = disliked(source, self.hidden.shape)
        explicit = config.explicit_negatives if self.disliked.nnz and not shown_again else 0
        self.sampler = Sampler(len(tensors.item_ids), config.negatives, config.random_negatives, explicit)
        self.size = max(1, min(config.training.batch_size // self.sampler.rows, len(self.events)))
        self.steps = len(self.events) // self.size
        self.candidates, self.retrieved = self._candidates()

    def _candidates(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Candidates int32 [n, topk - 1] without the positive, and bool [n], whether the positive is among the topk.

        At the time of its event the positive was not seen yet, so the retriever may return it. The user's other
        positives are seen items, so that none becomes a negative; but all are candidates where seen items are kept.
        """
        seen = UserItems(self.hidden, self.events.user_row, without=self.events.item_row)
        kept, retrieved = np.empty((0, 0), np.int32), np.empty(len(self.events), bool)
        for at in range(0, len(self.events), CHUNK):
            part = np.arange(at, min(at + CHUNK, len(self.events)))
            found = self.retriever(self.tensors, self.events.take(part), seen.take(part))
            if not at:
                kept = np.empty((len(self.events), found.shape[1] - 1), np.int32)
            own = found == self.events.item_row[part, None]
            retrieved[part] = own.any(axis=1)
            last = np.where(retrieved[part], own.argmax(axis=1), found.shape[1] - 1)
            kept[part] = np.where(np.arange(found.shape[1] - 1) < last[:, None], found[:, :-1], found[:, 1:])
        return kept, retrieved

    def batches(self, rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for at in shuffled(len(self.events), self.size, rng):
            yield self.draw(rng, at)

    def draw(self, rng: np.random.Generator, at: NDArray[np.int64]) -> dict[str, Any]:
        """A batch of the events ``at`` [B] with their candidates."""
        events = self.events.take(at)
        users = events.user_row
        draw = self.sampler(
            rng,
            events.item_row,
            self.candidates[at],
            self.retrieved[at],
            UserItems(self.hidden, users),
            UserItems(self.disliked, users),
        )
        rows = {"items": draw.items, "label": draw.label, "log_rate": draw.log_rate, "weight": draw.weight}
        if self.followers:
            rows |= self.followers.columns(events, draw.items, own=events.item_row)
        return {**events.queries(), **rows}

    def valid(self, seed: int) -> ValidRows | None:
        """Validation positives among the retriever's candidates; None without a validation part."""
        return valid_candidates(self.tensors, self.retriever, self.hidden, seed)


class ImpressionRows:
    """Logged impressions with their labels: one candidate each, nothing is sampled and nothing to be corrected.

    Args:
        all_rows: whether the impressions of the validation part follow those of the training part.

    Raises:
        DataError: if a label is always the same in the training part.
    """

    def __init__(
        self,
        tensors: Tensors,
        config: DlrmConfig,
        followers: TransitionFeatures | None = None,
        *,
        all_rows: bool = False,
    ) -> None:
        self.tensors, self.followers = tensors, followers
        self.labels, self.share = tuple(config.labels), shares(config.labels)
        source = tensors.interactions("train")
        self.events, self.counted = Events.of(source), np.where(source.positive, source.item_row, PAD)
        if all_rows:
            newest = Events.of(tensors.interactions("valid"))
            self.events = Events.joined([self.events, newest])
            self.counted = np.pad(self.counted, (0, len(newest)), constant_values=PAD)  # not among the transitions
        self.happened = varied_labels(self.events, config)
        self.rates = encode_rates(tensors, self.events, self.happened, config.rates, config.training.seed)
        items = {f.name for f in tensors.schema.side("item")}
        own = {name: known.rows[:, None] if name in items else known.rows for name, known in self.rates.items()}
        self._rates = {f"{PREFIX}{name}": rows for name, rows in own.items()}
        most = max(MIN_ROWS, len(self.events) // MIN_STEPS)
        self.size = min(config.training.batch_size, most, len(self.events))
        self.steps = len(self.events) // self.size

    def batches(self, rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for at in shuffled(len(self.events), self.size, rng):
            events = self.events.take(at)
            rates = {name: rows[at] for name, rows in self._rates.items()}
            label = self.happened[at][:, None] if self.labels else self.happened[at]
            one = np.ones((len(at), 1), np.float32)
            rows = {"items": events.item_row[:, None], "label": label, "log_rate": 0 * one, "weight": one}
            if self.followers:
                rows |= self.followers.columns(events, rows["items"], own=self.counted[at])
            yield {**events.queries(), **rates, **rows}

    def with_newest(self, config: DlrmConfig) -> ImpressionRows:
        """The impressions of the training and the validation part."""
        return ImpressionRows(self.tensors, config, self.followers, all_rows=True)

    def valid(self, seed: int) -> ValidRows | None:
        """Validation impressions; None if their labels are all 0 or all 1."""
        events = Events.of(self.tensors.interactions("valid")).sample(20 * VALID_EVENTS, seed)
        if not len(events):
            return None
        happened = targets(events, self.labels or ("label",))
        label = draw_label(happened, self.share, seed)
        if not has_both_labels(happened, self.share) or not 0 < label.sum() < len(label):
            return None
        return ValidRows(events, events.item_row[:, None], label[:, None] > 0, happened if self.labels else None)


def varied_labels(events: Events, config: DlrmConfig) -> NDArray[np.float32]:
    """The labels float32 [n, T] that the ranker learns from ``events``, impressions of the training part.

    Raises:
        DataError: if one of them is always the same.
    """
    names = tuple(config.labels) or ("label",)
    happened = targets(events, names)
    ones = dict(zip(names, happened.sum(axis=0).tolist(), strict=True))
    if constant := [name for name, count in ones.items() if not 0 < count < len(happened)]:
        found = ", ".join(f"{name} has {ones[name]:,.0f}" for name in constant)
        raise DataError(
            f"interactions.{constant[0]}: must hold both 0 and 1 in the training part to train on impressions; of ones "
            f"in {len(happened):,} rows, {found}; leave such labels out of dlrm_ranker.labels"
        )
    return happened


class MixedRows:
    """Logged impressions, and beside each batch of them some positives among the retriever's candidates.

    An epoch takes all impressions, and each positive about once. Names of the lists' columns begin with `LISTED`.
    """

    def __init__(self, impressions: ImpressionRows, lists: CandidateRows, config: DlrmConfig) -> None:
        self.impressions, self.lists, self.followers = impressions, lists, impressions.followers
        self.tensors, self.events, self.steps = impressions.tensors, impressions.events, impressions.steps
        self.size = max(1, min(lists.size, len(lists.events) // self.steps))
        self.fold = draw_folds(len(self.events), config.rates.folds, config.training.seed)[lists.at]

    @property
    def rates(self) -> Mapping[str, Encoded]:
        return self.impressions.rates

    def batches(self, rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for rows, at in zip(self.impressions.batches(rng), self._positions(rng), strict=False):
            lists = self.lists.draw(rng, at)
            lists |= self._rates(at, lists["items"])
            yield {**rows, **{f"{LISTED}{name}": values for name, values in lists.items()}}

    def _positions(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        while True:
            yield from shuffled(len(self.lists.events), self.size, rng)

    def _rates(self, at: NDArray[np.int64], items: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float32]]:
        """The target encodings of lists, by the events outside the fold of each positive, so that none shows itself."""
        events, found = self.lists.events.take(at), {}
        for name, known in self.rates.items():
            of_item = self.tensors.schema[name].side == "item"
            codes = np.asarray(self.tensors.items[name])[items] if of_item else user_codes(self.tensors, events, name)
            found[f"{PREFIX}{name}"] = known.of_fold(self.fold[at], codes)
        return found

    def with_newest(self, config: DlrmConfig) -> MixedRows:
        """The impressions of the training and the validation part, and the same lists."""
        return MixedRows(self.impressions.with_newest(config), self.lists, config)

    def valid(self, seed: int) -> ValidRows | None:
        """Validation impressions, see `ImpressionRows.valid`."""
        return self.impressions.valid(seed)


def user_codes(tensors: Tensors, events: Events, name: str) -> NDArray[Any]:
    """The codes [n, L] of a feature of the user, of the context or of the history."""
    return np.asarray(events.moment[name] if name in events.moment else tensors.users[name][events.user_row])


def valid_candidates(tensors: Tensors, retriever: Retriever, hidden: csr_matrix, seed: int) -> ValidRows | None:
    """Validation positives among the retriever's candidates; None if there are no positives.

    Args:
        hidden: bool [n_users, n_items], what is no candidate, see `hidden_items`.
    """
    events = valid_positives(tensors, retriever.valid_history).sample(VALID_EVENTS, seed)
    if not len(events):
        return None
    candidates = retriever(tensors, events, UserItems(hidden, events.user_row, without=events.item_row))
    return ValidRows(events, candidates, candidates == events.item_row[:, None])


def padded_items(candidates: NDArray[np.int32]) -> NDArray[np.int32]:
    """Candidates with item row 0 in place of padding, so that features can be looked up."""
    return np.where(candidates == PAD, 0, candidates)
