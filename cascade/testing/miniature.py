"""A complete miniature release of 20 users and 30 items, with real ops, exported in a second or two."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.features import Feature
from ..core.signature import ColumnSpec
from ..ensemble.config import AnnConfig, RerankConfig, ServingConfig
from ..ensemble.graph.ops import (
    DropSeen,
    EncodeQuery,
    LookupItems,
    LookupUser,
    MergeNeighbours,
    Order,
    Rank,
    Respond,
    Retrieve,
)
from ..ensemble.graph.request_graph import (
    Step,
    Steps,
    request_graph,
    request_inputs,
)
from ..ensemble.protocol.config_file import CONFIG
from ..ensemble.protocol.inputs import MISSING, Input
from ..ensemble.repository.digests import DIGESTS, write_digests
from ..ensemble.repository.release import ReleaseManifest
from ..models.retriever.item_to_item.neighbour_weights import NeighbourWeights
from ..models.retriever.neighbours import Neighbours
from .miniature_models import save_query_tower, save_ranker
from .miniature_ops import MiniatureTransform, MiniatureUsers

USERS, ITEMS, DIM, LENGTH = 20, 30, 8, 4
DECAY = 0.5
"""Of the item-item weights."""
SERVING = ServingConfig(
    ann=AnnConfig(type="flat", topk=12), rerank=RerankConfig(k=6, diversity_lambda=0.2), max_batch_size=64
)
RELEASE = ReleaseManifest("0123456789ab", "2024-01-01T00:00:00+00:00", "cascade", "miniature", {"index": "f" * 64})
USER_FEATURES = (
    Feature("user_id", "user", "categorical", USERS + 2),
    Feature("gender", "user", "categorical", 4),
    Feature("hour", "context", "continuous"),
    Feature("history", "user", "categorical", ITEMS + 2, LENGTH),
)
ITEM_FEATURES = (Feature("item_code", "item", "categorical", ITEMS + 2), Feature("price", "item", "continuous"))
USER_INPUTS = {feature.name: (feature.dtype, feature.dims[0]) for feature in USER_FEATURES}
ITEM_INPUTS = {feature.name: (feature.dtype, feature.dims[0]) for feature in ITEM_FEATURES}


@dataclass(frozen=True)
class Miniature:
    """Ids, the items that each user has seen, and the steps of the request graph."""

    user_ids: NDArray[Any]
    """[20] int64 or unicode; users with other ids are unknown."""
    item_ids: NDArray[Any]
    """[30] int64 or unicode."""
    history: list[list[Any]]
    """Item ids of each user's positives, most recent first; user u has u % 6 of them."""
    rejected: list[list[Any]]
    """Other item ids that each user has seen; user u has u % 4 of them."""
    steps: Steps
    inputs: tuple[Input, ...]

    @property
    def seen(self) -> list[list[Any]]:
        """Item ids that must not be recommended to each user."""
        return [[*items, *others] for items, others in zip(self.history, self.rejected, strict=True)]


def miniature(
    folder: Path,
    *,
    string_ids: bool = False,
    serving: ServingConfig = SERVING,
    neighbours: bool = False,
    lookup_user: LookupUser | None = None,
) -> Miniature:
    """Write models, index and tables into ``folder``.

    Args:
        string_ids: use ids such as "u100" and "i1000" instead of integers.
        serving: the config section of the request path.
        neighbours: give the retriever item-item weights, which the ranker adds to its score.
        lookup_user: reads gender, history_ids and rejected_ids of users from a feature store, in place of a table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    ids = "object" if string_ids else "int64"
    user_ids: NDArray[Any] = np.arange(100, 100 + USERS)
    item_ids: NDArray[Any] = np.arange(1000, 1000 + ITEMS)
    if string_ids:
        user_ids, item_ids = (
            np.array([f"{letter}{i}" for i in at]) for letter, at in (("u", user_ids), ("i", item_ids))
        )
    history = [rng.choice(item_ids, size=user % 6, replace=False).tolist() for user in range(USERS)]
    vectors = rng.normal(size=(ITEMS, DIM)).astype(np.float32)
    others = [np.setdiff1d(item_ids, np.array(items, item_ids.dtype)) for items in history]
    rejected = [rng.choice(items, size=user % 4, replace=False).tolist() for user, items in enumerate(others)]
    files = _write(folder, user_ids, item_ids, {"history": history, "rejected": rejected}, vectors, neighbours)
    weights = [name for name in files if name.startswith("neighbour_")]
    merge = MergeNeighbours(serving.ann.topk, DIM, LENGTH, DECAY)
    steps = Steps(
        lookup_user=Step(lookup_user) if lookup_user else Step(MiniatureUsers(ids), _pick(files, "users.npz")),
        transform=Step(MiniatureTransform(ids, LENGTH), _pick(files, "ids.npz")),
        encode_query=Step(EncodeQuery(USER_INPUTS, DIM), _pick(files, "query_tower.onnx")),
        retrieve=Step(Retrieve(serving.ann.topk, DIM), _pick(files, "index.faiss")),
        drop_seen=Step(DropSeen(serving.ann.topk)),
        lookup_items=Step(
            LookupItems(ITEM_INPUTS, DIM, history=LENGTH, decay=DECAY if neighbours else None),
            _pick(files, "item_code.npy", "price.npy", "item_vectors.npy", *weights),
        ),
        rank=Step(Rank(USER_INPUTS, ITEM_INPUTS, neighbours), _pick(files, "ranker.onnx")),
        order=Step(Order(DIM, serving.rerank.k, serving.rerank.diversity_lambda, serving.thresholds.min_score)),
        respond=Step(Respond(string_ids, RELEASE.release), _pick(files, "item_ids.npy")),
        merge_neighbours=Step(merge, _pick(files, "item_vectors.npy", *weights)) if neighbours else None,
    )
    inputs = request_inputs(ids, ids, {"hour": ColumnSpec("int64")}, serving)
    return Miniature(user_ids, item_ids, history, rejected, steps, inputs)


def miniature_repository(
    folder: Path,
    *,
    string_ids: bool = False,
    version: int = 1,
    serving: ServingConfig = SERVING,
    neighbours: bool = False,
    lookup_user: LookupUser | None = None,
) -> Miniature:
    """Export the miniature as model ``cascade`` into the model repository ``folder``.

    Its inputs are user_id (100 .. 119, or "u100" .. "u119"), hour (int64 context), exclude_items, top_k (at most 12),
    temperature and seed, for at most 64 users in a request. With ``serving.layout: ensemble`` there is also a model for
    each step.
    """
    from ..ensemble.repository.export import export

    parts = Path(folder).with_name(f"{Path(folder).name}-parts")
    made = miniature(parts, string_ids=string_ids, serving=serving, neighbours=neighbours, lookup_user=lookup_user)
    graph = request_graph(made.steps, made.inputs)
    export(graph, Path(folder), made.inputs, RELEASE, version=version, serving=serving)
    for model in Path(folder).glob(f"*/{version}/model.py"):
        model.write_text(
            model.read_text().replace("\nfrom ", "\nimport cascade.testing.miniature_ops  # noqa: F401\nfrom ", 1)
        )
    seal(Path(folder))
    return made


def seal(repository: Path) -> None:
    """Write the digests of every version again, after a file was changed on purpose."""
    for table in repository.glob(f"*/*/{DIGESTS}"):
        write_digests(table.parent, (table.parents[1] / CONFIG).read_text())


def _write(
    folder: Path,
    user_ids: NDArray[Any],
    item_ids: NDArray[Any],
    lists: dict[str, list[list[Any]]],
    vectors: NDArray[Any],
    neighbours: bool,
) -> dict[str, Path]:
    import faiss

    missing = "" if user_ids.dtype.kind == "U" else MISSING["int64"]
    tables = {name: np.full((USERS, 5), missing, dtype=item_ids.dtype) for name in lists}
    for name, table in tables.items():
        for row, entries in zip(table, lists[name], strict=True):
            row[: len(entries)] = entries
    gender = np.array(["F", "M"] * (USERS // 2))
    np.savez(folder / "users.npz", user_id=user_ids, gender=gender, **tables)
    np.savez(folder / "ids.npz", user_id=user_ids, item_id=item_ids)
    np.save(folder / "item_ids.npy", item_ids)
    np.save(folder / "item_code.npy", np.arange(2, ITEMS + 2, dtype=np.int32)[:, None])
    np.save(folder / "price.npy", np.linspace(0, 1, ITEMS, dtype=np.float32)[:, None])
    np.save(folder / "item_vectors.npy", vectors)
    save_query_tower(folder / "query_tower.onnx", USER_FEATURES, DIM)
    save_ranker(folder / "ranker.onnx", USER_FEATURES, ITEM_FEATURES, DIM, neighbours=neighbours)
    if neighbours:
        NeighbourWeights.of(item_neighbours().weights).save(folder)
    index = faiss.IndexFlatIP(DIM)
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    return {file.name: file for file in folder.iterdir()}


def item_neighbours() -> Neighbours:
    """The item-item weights: 0 to 6 for a third of the pairs; the code of an item is its row + 2."""
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(11)
    weights = rng.integers(0, 7, (ITEMS + 2, ITEMS)) * (rng.random((ITEMS + 2, ITEMS)) < 1 / 3)
    weights[:2] = 0
    return Neighbours(csr_matrix(weights.astype(np.float32)), DECAY)


def _pick(files: dict[str, Path], *names: str) -> dict[str, Path]:
    return {name: files[name] for name in names}
