"""Which features have a vocabulary, and which are hashed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from ...core.suggest import nearest
from ..config import EtlConfig, SchemaConfig
from ..tables.raw_features import RawFeature

if TYPE_CHECKING:
    import pyarrow as pa

    from .train_part import Partition


def conflicts(schema: SchemaConfig, etl: EtlConfig) -> Iterator[str]:
    """A message for each key of ``etl.max_size`` and ``etl.hash_buckets`` that does not fit the schema or the other."""
    known = [*schema.sparse, *schema.cross_names]
    for key in ("max_size", "hash_buckets"):
        for name in getattr(etl, key):
            if name not in known:
                yield f"etl.{key}.{name}: {name!r} is not a sparse column or a cross; {nearest(name, known)}"
    for name in sorted({*etl.max_size} & {*etl.hash_buckets}):
        yield (
            f"etl.max_size.{name} and etl.hash_buckets.{name}: a hashed column has no vocabulary to limit; "
            "remove one of them"
        )


def with_buckets(
    features: Sequence[RawFeature], parts: Sequence[Partition], config: EtlConfig
) -> tuple[RawFeature, ...]:
    """The ``features`` of one side with their ``buckets``, 0 for those with a vocabulary.

    A cross without settings of its own is hashed if its columns have more combinations than ``etl.cross_buckets``.

    Args:
        parts: the training part, in which the values of the columns of crosses are counted.
    """
    crosses = [f for f in features if f.role == "cross" and _depends_on_data(f, config)]
    sizes = distinct_values(parts, crosses) if crosses else {}
    large = {f.name for f in crosses if prod(sizes[raw] for raw in f.raw) > (config.cross_buckets or 0)}
    implied = {name: config.cross_buckets or 0 for name in large}
    return tuple(replace(f, buckets=config.hash_buckets.get(f.name, implied.get(f.name, 0))) for f in features)


def _depends_on_data(cross: RawFeature, config: EtlConfig) -> bool:
    """Whether the data decide if a cross is hashed."""
    return config.cross_buckets is not None and cross.name not in {*config.hash_buckets, *config.max_size}


def distinct_values(parts: Sequence[Partition], features: Sequence[RawFeature]) -> dict[str, int]:
    """Raw column of ``features`` -> the number of its different values, without the missing one."""
    import dask
    import pyarrow as pa
    import pyarrow.compute as pc

    found = dask.compute([dask.delayed(_distinct)(part, features) for part in parts])[0]
    return {
        name: pc.count_distinct(pa.concat_arrays([columns[name] for columns in found]), mode="only_valid").as_py()
        for name in found[0]
    }


def _distinct(part: Partition, features: Sequence[RawFeature]) -> dict[str, pa.Array]:
    table = part.table(features)
    return {name: table[name].combine_chunks().unique() for name in table.column_names}
