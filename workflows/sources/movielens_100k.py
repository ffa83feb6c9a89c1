"""Source ``movielens-100k`` (F. M. Harper, J. A. Konstan 2015, doi:10.1145/2827872): 100,000 ratings of 1,682 films.

The files come from GroupLens' archive, or from the copy inside the PyPI wheel of recbole 1.2.1 if GroupLens cannot be
reached. Both give the same three tables: titles without the year, genres sorted, ratings and timestamps as integers.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import DataError
from ..config import DataConfig
from .cache import cached, download
from .source import Source

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Tables = tuple[pa.Table, pa.Table, pa.Table]
    """interactions, users, items."""

log = logging.getLogger(__name__)

ARCHIVE = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
ARCHIVE_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
WAIT_SECONDS = 5.0
WHEEL = "recbole-1.2.1-py3-none-any.whl"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k/ml-100k."
TEXT: dict[str, Any] = {"dtype": str, "keep_default_na": False}
"""Options of ``read_csv``: every field is text, an empty one the empty string."""


def open_source(config: DataConfig) -> Source:
    """The three tables, downloaded on first use and cached.

    Raises:
        DataError: if they cannot be downloaded, or have another checksum.
    """
    interactions, users, items = _archive_tables() or read_wheel(cached(WHEEL, WHEEL_SHA256, _fetch_wheel))

    def chunks() -> Iterator[pa.Table]:
        yield interactions

    return Source(chunks, interactions.num_rows, users, items)


def _archive_tables() -> Tables | None:
    """The tables from GroupLens' archive; None if it cannot be reached or has another checksum."""
    try:
        file = cached("ml-100k.zip", ARCHIVE_SHA256, lambda aside: download(ARCHIVE, aside, timeout=WAIT_SECONDS))
    except (OSError, DataError) as error:
        log.info("%s: %s; using the copy inside %s", ARCHIVE, error, WHEEL)
        return None
    return read_archive(file)


def _fetch_wheel(aside: Path) -> None:
    """Download the wheel with pip, from the package index that pip is configured for."""
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"movielens-100k: GroupLens cannot be reached, and this environment has no pip to fetch {WHEEL} with; "
            f"install pip, or put that file into {aside.parent}"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, "recbole==1.2.1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise DataError(f"movielens-100k: GroupLens cannot be reached, and pip cannot fetch {WHEEL}: {reason}")
        shutil.move(Path(folder) / WHEEL, aside)


def read_archive(file: Path) -> Tables:
    """The tables in GroupLens' zip: u.data (tabs), u.user and u.item (bars, Latin-1, a 0/1 column for each genre)."""
    import pandas as pd

    with zipfile.ZipFile(file) as archive:

        def read(name: str, separator: str) -> pd.DataFrame:
            with archive.open(f"ml-100k/{name}") as stream:
                return pd.read_csv(stream, sep=separator, header=None, encoding="latin-1", quoting=3, **TEXT)

        genres = read("u.genre", "|")[0].tolist()
        items = read("u.item", "|")
        flags = items.iloc[:, 5:].to_numpy() == "1"
        lists = [" ".join(name for name, on in zip(genres, row, strict=True) if on) for row in flags]
        films = pd.DataFrame({"item_id": items[0], "title": items[1], "genres": lists})
        return _tables(read("u.data", "\t"), read("u.user", "|"), films)


def read_wheel(file: Path) -> Tables:
    """The tables inside the wheel: tab-separated with a typed header; title and year are separate columns."""
    import pandas as pd

    with zipfile.ZipFile(file) as wheel:

        def read(suffix: str) -> pd.DataFrame:
            with wheel.open(WHEEL_FOLDER + suffix) as stream:
                return pd.read_csv(stream, sep="\t", header=0, encoding="utf-8", quoting=3, **TEXT)

        items = read("item")
        items.columns = pd.Index(["item_id", "name", "year", "genres"])
        titles = (items["name"] + " (" + items["year"] + ")").replace("unkonwn (unkonwn)", "unknown")
        films = pd.DataFrame({"item_id": items["item_id"], "title": titles, "genres": items["genres"]})
        return _tables(read("inter"), read("user"), films)


def _tables(ratings: pd.DataFrame, people: pd.DataFrame, films: pd.DataFrame) -> Tables:
    """The typed tables, from columns of text.

    Args:
        ratings: user, item, rating, timestamp (seconds).
        people: user, age (years), gender, occupation, zip code.
        films: item_id, title as GroupLens writes it, ``Toy Story (1995)``, genres separated by spaces.
    """
    import pandas as pd
    import pyarrow as pa

    names = ["user_id", "item_id", "rating", "timestamp"]
    interactions = {name: pd.to_numeric(ratings.iloc[:, i]).astype("int64") for i, name in enumerate(names)}
    names = ["user_id", "age", "gender", "occupation", "zip_code"]
    users = {name: people.iloc[:, i] for i, name in enumerate(names)}
    users |= {name: users[name].astype("int64") for name in ("user_id", "age")}
    title = films["title"].str.extract(r"^(?P<name>.*?)\s*(?:\((?P<year>\d{4})\).*)?$")
    items = {
        "item_id": pa.array(films["item_id"].astype("int64")),
        "title": pa.array(title["name"]),
        "release_year": pa.array(title["year"].astype("Int64")),
        "genres": pa.array([sorted(text.split()) for text in films["genres"]], pa.list_(pa.string())),
    }
    return pa.table(interactions), pa.table(users), pa.table(items)
