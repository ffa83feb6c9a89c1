"""MovieLens (F. M. Harper and J. A. Konstan 2015, doi:10.1145/2827872): ratings of films, from GroupLens."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import DataConfig
from ..sources.movielens_100k import ARCHIVE, ARCHIVE_SHA256, open_source, read_archive
from .dataset import PublicDataset, RemoteFile

if TYPE_CHECKING:
    import pandas as pd

    from .dataset import Tables

LICENCE = (
    "GroupLens: research use, no redistribution, no commercial use without permission. "
    "Cite F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, 2015, doi:10.1145/2827872."
)
HOMEPAGE = "https://grouplens.org/datasets/movielens/"
SERVER = "https://files.grouplens.org/datasets/movielens/"
NO_GENRE = "(no genres listed)"


def read_100k(files: Mapping[str, Path]) -> Tables:
    """The tables of ``data.source: movielens-100k``, which fetches its archive itself."""
    import pyarrow as pa

    if "ml-100k.zip" in files:
        tables = read_archive(files["ml-100k.zip"])
    else:
        source = open_source(DataConfig())
        assert source.users is not None and source.items is not None
        tables = pa.concat_tables(source.interactions()), source.users, source.items
    interactions, users, items = tables
    return {"interactions": interactions.sort_by("timestamp"), "users": users, "items": items}


def read_1m(files: Mapping[str, Path]) -> Tables:
    """``ml-1m.zip``: fields separated by ``::``, Latin-1."""
    with zipfile.ZipFile(files["ml-1m.zip"]) as archive:

        def read(name: str, columns: list[str]) -> pd.DataFrame:
            import pandas as pd

            with archive.open(f"ml-1m/{name}.dat") as stream:
                text = stream.read().decode("latin-1")
            rows = [line.split("::") for line in text.splitlines() if line]
            return pd.DataFrame(rows, columns=columns)

        ratings = read("ratings", ["user_id", "item_id", "rating", "timestamp"]).astype("int64")
        users = read("users", ["user_id", "gender", "age", "occupation", "zip"])
        users = users.astype({"user_id": "int64", "age": "int64", "occupation": "int64"})
        films = read("movies", ["item_id", "title", "genres"])
    return _tables(ratings, films.astype({"item_id": "int64"}), users)


def read_25m(files: Mapping[str, Path]) -> Tables:
    """``ml-25m.zip``: comma-separated with a header, UTF-8; nothing is known of its users."""
    import pandas as pd

    with zipfile.ZipFile(files["ml-25m.zip"]) as archive:
        with archive.open("ml-25m/ratings.csv") as stream:
            ratings = pd.read_csv(stream).rename(columns={"userId": "user_id", "movieId": "item_id"})
        with archive.open("ml-25m/movies.csv") as stream:
            films = pd.read_csv(stream).rename(columns={"movieId": "item_id"})
    users = pd.DataFrame({"user_id": sorted(ratings["user_id"].unique())})
    return _tables(ratings[["user_id", "item_id", "rating", "timestamp"]], films, users)


def _tables(ratings: pd.DataFrame, films: pd.DataFrame, users: pd.DataFrame) -> Tables:
    """Arrow tables; films gain ``year`` (int64, null where the title names none) and genres as a list.

    Args:
        ratings: user_id, item_id, rating, timestamp (seconds).
        films: item_id, title as in ``Toy Story (1995)``, genres separated by ``|``.
    """
    import pyarrow as pa

    genres: list[list[str]] = [sorted(g for g in text.split("|") if g != NO_GENRE) for text in films["genres"]]
    year: Any = films["title"].str.extract(r"\((\d{4})\)\s*$")[0].astype("Int64")
    items = pa.table(
        {
            "item_id": pa.array(films["item_id"]),
            "title": pa.array(films["title"]),
            "genres": pa.array(genres, pa.list_(pa.string())),
            "year": pa.array(year),
        }
    )
    ordered = ratings.sort_values("timestamp", kind="stable", ignore_index=True)
    tables = {"interactions": ordered[["user_id", "item_id", "timestamp", "rating"]], "users": users}
    return {
        "items": items,
        **{name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in tables.items()},
    }


MOVIELENS_100K = PublicDataset(
    name="movielens-100k",
    title="MovieLens 100k: 100,000 ratings, 943 users, 1,682 films",
    licence=LICENCE,
    homepage=HOMEPAGE + "100k/",
    files=(RemoteFile("ml-100k.zip", ARCHIVE, f"sha256:{ARCHIVE_SHA256}", optional=True),),
    read=read_100k,
)
MOVIELENS_1M = PublicDataset(
    name="movielens-1m",
    title="MovieLens 1M: 1,000,209 ratings, 6,040 users, 3,883 films",
    licence=LICENCE,
    homepage=HOMEPAGE + "1m/",
    files=(RemoteFile("ml-1m.zip", SERVER + "ml-1m.zip", "md5:c4d9eecfca2ab87c1945afe126590906"),),
    read=read_1m,
)
MOVIELENS_25M = PublicDataset(
    name="movielens-25m",
    title="MovieLens 25M: 25,000,095 ratings, 162,541 users, 62,423 films",
    licence=LICENCE,
    homepage=HOMEPAGE + "25m/",
    files=(RemoteFile("ml-25m.zip", SERVER + "ml-25m.zip", "md5:6b51fb2759a8657d3bfcbfc42b592ada"),),
    read=read_25m,
)
