"""The names that features may have: which characters, and which names mean something else on their way to an answer.

A name becomes a column of NVTabular, a file, an input of TensorFlow and ONNX, a column of the request graph and a
feature of Feast. Each of them gives some names a meaning of its own, and would take the column for that, or stop.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator

from ...core.errors import ConfigError
from ...core.features import Side
from ..config import SchemaConfig

DERIVED = ("positive", "split")
"""Columns that the data stage adds to interactions."""
NVTABULAR = ("order", "labels")
"""Columns that Categorify adds to the frame that it encodes."""
FEAST = ("event_timestamp",)
FILES = ("user_row", "item_row", "item_rows")
"""Tables that lie beside those of the features."""
REQUEST = ("exclude_items", "top_k", "temperature", "seed", "ask_arm")
"""Inputs of a request."""
GRAPH = (
    *("history", "history_gap", "history_ids", "history_times", "rejected_ids", "known_user", "features_stale"),
    *("seen_rows", "query", "retrieved_rows", "candidate_rows", "item_vectors", "transitions", "logits"),
    *("source_rows", "retrieved_sources", "neighbour_scores", "ranked_rows", "scores", "propensities"),
    *("item_ids", "reasons", "release", "arm"),
    *("stages_ms", "trace", "traced"),
)
"""Columns that the ops of the request graph write, and those that Triton's models add."""
MODELS = ("item_vector", "item_part", "item_slots", "item_share", "item_query")
"""Inputs and outputs of the exported models."""
RESERVED = frozenset((*DERIVED, *NVTABULAR, *FEAST, *FILES, *REQUEST, *GRAPH, *MODELS))

BATCH = (
    *("items", "label", "log_rate", "weight"),
    *("batch_row", "batch_window", "drawn_row", "own_row", "distinct_row", "distinct_at"),
)
"""What a training batch holds beside the context features of its rows."""

LONGEST = 100
"""Bytes of a name: it is part of file names."""
IDS = ("user_id", "item_id")
_BETWEEN = "_ -."
"""What a name may hold between letters and digits."""
_YAML = ("true", "false", "yes", "no", "on", "off", "null")
"""What YAML would not read as text."""
_TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa"})


def is_legal(name: str) -> bool:
    """Whether a name consists of letters and digits of any script, ``_``, and blanks, ``-`` and ``.`` between them."""
    inside = all(unicodedata.category(sign)[0] in "LMN" or sign in _BETWEEN for sign in name)
    return inside and name.strip(" -.") == name != "" and len(name.encode()) <= LONGEST


def problem(name: str, side: Side | None = None) -> str | None:
    """Why a column cannot be a feature under its name; None if it can.

    Args:
        side: of the feature, if it is known.
    """
    if not is_legal(name):
        return f"expected letters and digits, and blanks, '-', '.' or '_' between them, at most {LONGEST} bytes"
    if name in RESERVED or (side == "context" and name in BATCH):
        return "this name is reserved"
    return None


def suggested(name: str, taken: Collection[str] = ()) -> str:
    """A legal name like ``name``, none of ``taken``: ``sub_category`` for Sub/Category, ``groesse`` for Größe?."""
    plain = unicodedata.normalize("NFKC", name).lower().translate(_TRANSLITERATED)
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    found = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[: LONGEST - 10] or "column"
    found = f"column_{found}" if found[0].isdigit() else found
    found = f"{found}_value" if found in _YAML else found
    ends = ("", "_value", *(f"_{number}" for number in range(2, len(taken) + 4)))
    return next(f"{found}{end}" for end in ends if found + end not in {*taken, *RESERVED, *BATCH, *IDS})


def way_out(name: str, taken: Collection[str] = ()) -> str:
    """How to rename a column, as YAML."""
    new = suggested(name, taken)
    return f"rename it: data.columns: {{{new}: {_quoted(name)}}}, and write {new} in the place of {name!r}"


def way_out_of(table: str, name: str, taken: Collection[str] = ()) -> str:
    """How to rename a column of users or items that another table has, too, as YAML."""
    new = suggested(f"{table.removesuffix('s')}_{name}", taken)
    columns = f"{{{table}: {{{new}: {_quoted(name)}}}}}"
    return f"rename one of them, e.g. data.columns: {columns}, and write {new} for that of {table}"


def _quoted(name: str) -> str:
    """``name`` as YAML reads it."""
    return name if name in {*RESERVED, *BATCH} else '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def name_conflicts(schema: SchemaConfig, labels: Collection[str] = ()) -> Iterator[str]:
    """A message for each column of the schema, and of ``data.labels``, whose name cannot be kept."""
    keys = {"schema.sparse": schema.sparse, "schema.dense": schema.dense, "schema.text": schema.text}
    keys |= {"schema.vectors": schema.vectors}
    taken = [name for names in keys.values() for name in names]
    for key, names in keys.items():
        for name in dict.fromkeys(names):
            if (why := problem(name)) is not None:
                yield f"{key}: {name!r} cannot be the name of a feature, {why}; {way_out(name, taken)}"
    for columns, name in zip(schema.crosses, schema.cross_names, strict=True):
        if (why := problem(name)) is not None and not any(map(problem, columns)):
            yield (
                f"schema.crosses: {columns} would be the feature {name!r}, {why}; rename one of its columns: "
                f"data.columns: {{{suggested(columns[0], [*taken, columns[0]])}: {columns[0]}}}"
            )
    for name in labels:
        if not is_legal(name):
            yield f"data.labels: {name!r} cannot be the name of a label, {problem(name)}; {way_out(name, taken)}"


def check_names(schema: SchemaConfig, labels: Collection[str] = ()) -> None:
    """Check the names of columns before any table is read.

    Raises:
        ConfigError: naming the first column whose name cannot be kept, and a name that can be.
    """
    for line in name_conflicts(schema, labels):
        raise ConfigError(line)
