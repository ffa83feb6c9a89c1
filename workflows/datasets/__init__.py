"""Public data sets, brought into the three tables: ``cascade data fetch NAME``.

In: an archive, from its owner or from disk. Out: interactions, users and items as Parquet, with the licence.
Start with `fetch`; each owner has a file.
"""

from .amazon_beauty import BEAUTY
from .dataset import PublicDataset, RemoteFile
from .kuairand import KUAIRAND_PURE
from .movielens import MOVIELENS_1M, MOVIELENS_25M, MOVIELENS_100K

DATASETS: dict[str, PublicDataset] = {
    dataset.name: dataset for dataset in (MOVIELENS_100K, MOVIELENS_1M, MOVIELENS_25M, BEAUTY, KUAIRAND_PURE)
}
"""Name on the command line -> data set."""

__all__ = ["DATASETS", "PublicDataset", "RemoteFile"]
