"""Ways in which a release can be bad: each spoils the files in the version folder of a copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.testing.miniature import DIM, ITEMS

Spoil = Callable[[Path], None]
RNG_SEED = 3


def array(node: str, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Change a table of a node."""

    def spoil(version: Path) -> None:
        file = _node(version, node) / name
        np.save(file, change(np.load(file)))

    return spoil


def ids(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Change a vocabulary."""

    def spoil(version: Path) -> None:
        file = _node(version, "transform") / "ids.npz"
        with np.load(file) as tables:
            held = dict(tables)
        np.savez(file, **{**held, name: change(held[name])})

    return spoil


def weights(node: str, change: Callable[[str, NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Change the constants of a model; called with name and value of each that holds floats."""

    def spoil(version: Path) -> None:
        import onnx
        from onnx import numpy_helper

        file = next(_node(version, node).glob("*.onnx"))
        model = onnx.load(str(file))
        for constant in model.graph.initializer:
            value = numpy_helper.to_array(constant)
            if value.dtype == np.float32:
                changed = change(constant.name, value.copy()).astype(np.float32)
                constant.CopyFrom(numpy_helper.from_array(changed, constant.name))
        onnx.save(model, str(file))

    return spoil


def index(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Build the index of other vectors."""

    def spoil(version: Path) -> None:
        import faiss

        vectors = change(np.load(_node(version, "lookup_items") / "item_vectors.npy"))
        own = faiss.IndexFlatIP(DIM)
        own.add(np.ascontiguousarray(vectors, np.float32))
        faiss.write_index(own, str(_node(version, "retrieve") / "index.faiss"))

    return spoil


def params(op: str, **values: Any) -> Spoil:
    """Change the parameters of an op."""

    def spoil(version: Path) -> None:
        file = version / "graph.json"
        graph = json.loads(file.read_text())
        next(node for node in graph["nodes"] if node["op"] == op)["params"] |= values
        file.write_text(json.dumps(graph))

    return spoil


def both(*parts: Spoil) -> Spoil:
    def spoil(version: Path) -> None:
        for part in parts:
            part(version)

    return spoil


def text(name: str, content: str) -> Spoil:
    return lambda version: (version / name).write_text(content) and None  # type: ignore[func-returns-value]


def other_vectors(_: NDArray[Any]) -> NDArray[Any]:
    return np.random.default_rng(RNG_SEED).normal(size=(ITEMS, DIM)).astype(np.float32)


def shuffled(values: NDArray[Any]) -> NDArray[Any]:
    return np.random.default_rng(RNG_SEED).permutation(values)


def half(values: NDArray[Any]) -> NDArray[Any]:
    return values[: len(values) // 2]


def second_is_first(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([values[:1], values[:1], values[2:]])


def half_zero(values: NDArray[Any]) -> NDArray[Any]:
    return values * (np.arange(len(values)) % 2)[:, None]


def ranker_of_towers(version: Path) -> None:
    """The query tower's file where the ranker's should be."""
    source = next(_node(version, "encode_query").glob("*.onnx"))
    next(_node(version, "rank").glob("*.onnx")).write_bytes(source.read_bytes())


def _node(version: Path, name: str) -> Path:
    return next((version / "nodes").glob(f"*_{name}"))


def _nan(name: str, value: NDArray[Any]) -> NDArray[Any]:
    return np.full_like(value, np.nan)


def _times(factor: float, *names: str) -> Callable[[str, NDArray[Any]], NDArray[Any]]:
    return lambda name, value: factor * value if not names or name in names else value


def _against_three_users(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """The ranker gets three of 20 users wrong: 103, 107 and 113, whose codes are their rows + 2."""
    if name == "user_id_table":
        value[[5, 9, 15]] *= -9
    return value


def _popular(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Every known user is the same vector, whatever the context."""
    return np.ones_like(value) if name == "gender_table" else 0 * value


def _more_likely(price: NDArray[Any]) -> NDArray[Any]:
    """The score is a match less the price, so this doubles the odds, and more."""
    return price - 1.5


PRICE, CODES = ("lookup_items", "price.npy"), ("lookup_items", "item_code.npy")
VECTORS, ITEM_IDS = ("lookup_items", "item_vectors.npy"), ("respond", "item_ids.npy")
EVERY_TABLE = both(*(array(*table, half) for table in (PRICE, CODES, VECTORS, ITEM_IDS)), index(half))

BAD_RELEASES: dict[str, tuple[Spoil, str]] = {
    "ids of items permuted": (array(*ITEM_IDS, shuffled), "quality"),
    "index of an earlier model": (index(other_vectors), "index"),
    "index with rows in another order": (index(shuffled), "index"),
    "index with half of the vectors gone": (index(half_zero), "index"),
    "index that lacks items": (index(half), "catalogue"),
    "table of ids cut off": (array(*ITEM_IDS, half), "catalogue"),
    "table of features cut off": (array(*PRICE, half), "loaded"),
    "ids that occur twice": (array(*ITEM_IDS, second_is_first), "catalogue"),
    "half of the catalogue lost": (EVERY_TABLE, "catalogue"),
    "NaN in the ranker": (weights("rank", _nan), "scores"),
    "NaN in the query tower": (weights("encode_query", _nan), "answers"),
    "constant scores": (both(weights("rank", _times(0)), array(*PRICE, np.zeros_like)), "scores"),
    "saturated scores": (weights("rank", _times(30, "item_code_table")), "scores"),
    "order turned around": (weights("rank", _times(-1, "item_code_table")), "quality"),
    "too sure": (weights("rank", _times(4, "item_code_table")), "calibration"),
    "twice as likely": (array(*PRICE, _more_likely), "calibration"),
    "scores of another level": (array(*PRICE, lambda price: price + 4), "score shift"),
    "features of other items": (array(*CODES, shuffled), "quality"),
    "codes that the ranker does not have": (array(*CODES, lambda codes: codes + 500), "loaded"),
    "price in cents": (array(*PRICE, lambda price: 100 * price), "quality"),
    "prices of other items": (array(*PRICE, lambda price: 8 * price[::-1]), "quality"),
    "vectors of another model": (both(array(*VECTORS, other_vectors), index(other_vectors)), "quality"),
    "vocabulary of other users": (ids("user_id", lambda known: np.roll(known, 7)), "quality"),
    "vocabulary of other items": (ids("item_id", lambda known: np.roll(known, 7)), "answers"),
    "history not understood": (ids("item_id", lambda known: known + 5000), "answers"),
    "one segment broken": (weights("rank", _against_three_users), "slices"),
    "the same list for everybody": (both(weights("encode_query", _popular), weights("rank", _times(0))), "coverage"),
    "threshold that nothing reaches": (params("order", min_score=0.9999), "answers"),
    "threshold too high": (params("order", min_score=0.7), "answers"),
    "graph that is no JSON": (text("graph.json", "{"), "loaded"),
    "op that nobody knows": (params("order", unknown=1), "loaded"),
    "ranker that is another model": (ranker_of_towers, "loaded"),
}
