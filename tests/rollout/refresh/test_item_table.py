"""Files of items that cannot be used are refused by name; those that mean the same in other types are read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError, DataError, ReleaseError
from cascade.rollout.refresh.item_table import item_table
from cascade.rollout.refresh.kept_release import KeptRelease
from cascade.rollout.refresh.refresh import WantedItems, refresh


@pytest.fixture
def items(shop, tmp_path):
    """``items(column=...)``: the shop's table with other columns; None leaves one out."""

    def write(rows=None, **columns):
        table = pa.Table.from_pylist(shop.items, schema=shop.schema)
        table = table if rows is None else table.slice(0, rows)
        for name, values in columns.items():
            at = table.column_names.index(name)
            table = table.remove_column(at) if values is None else table.set_column(at, name, values)
        pq.write_table(table, tmp_path / "items.parquet")
        return tmp_path / "items.parquet"

    return write


def asked(shop, file, **options):
    return refresh(shop.store, shop.release, WantedItems(items=file, **options), shop.data)


def text(number):
    return pa.array([f"x{at}" for at in range(number)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"brand": None}, "items.brand: missing column; the table has item_id, "),
        ({"item_id": None}, "items.item_id: missing column"),
        ({"price": text(60)}, "items.price: expected float, as the release was trained with, has string"),
        ({"tags": pa.array([1] * 60)}, r"items.tags: expected list_string, .* has int64; .* data.separators"),
        ({"year": pa.array([2000.5] * 60)}, "items.year: expected int, as the release was trained with"),
        ({"image": pa.array([[1.0, 2.0]] * 60)}, r"items.image, row 0: expected 3 numbers, as in the release, has 2"),
        ({"item_id": pa.array([7, 7, *range(58)])}, r"items.item_id, row 1: duplicate id 7, first in row 0"),
        ({"item_id": pa.array([None, *range(59)])}, r"items.item_id, row 0: missing id \(null\)"),
        ({"item_id": pa.nulls(60, pa.int64())}, "items.item_id, row 0: missing id"),
        ({"item_id": text(60)}, "items.item_id: expected int, as the release was trained with"),
        ({"price": pa.array([float("inf")] * 60)}, "items.price, row 0"),
        ({"price": pa.array([1e31, *[1.0] * 59])}, "items.price, row 0: 1e.31 is too large for schema.dense"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_bad_columns(shop, items, columns, message):
    with pytest.raises(DataError, match=message):
        asked(shop, items(**columns))


def test_no_rows(shop, items):
    with pytest.raises(DataError, match="items: the table is empty"):
        asked(shop, items(rows=0))


def test_a_number_far_from_those_of_the_training(shop, items, monkeypatch):
    monkeypatch.setattr("cascade.rollout.refresh.item_features.LARGEST_DENSE", 1000)
    price = pa.array([9e9, *(item["price"] for item in shop.items[1:])], pa.float64())
    with pytest.raises(DataError, match=r"items.price \(item_id 0\): 9000000000.0 is over 1000 standard deviations"):
        asked(shop, items(price=price))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.parquet", None, "none.parquet: there is no such file"),
        ("items.txt", "item_id\n", r"items.txt: expected a file that ends in .parquet, .csv"),
        ("items.csv", "", "items.csv"),
        ("items.parquet", "no parquet", "items.parquet"),
    ],
)
def test_no_table(shop, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        asked(shop, tmp_path / name)


def test_the_whole_and_changes_are_not_given_together():
    with pytest.raises(ConfigError, match="--items: is the whole assortment, so expected neither --add nor --remove"):
        WantedItems(items=Path("a.csv"), remove=Path("b.csv"))


def test_other_types_with_the_same_values_change_nothing(shop, items):
    stock = [item["stock"] for item in shop.items]
    whole = pa.array([None if each is None else float(each) for each in stock])
    file = items(stock=whole, item_id=pa.array([float(item["item_id"]) for item in shop.items]))
    assert asked(shop, file).release is None


def test_a_csv_reads_like_the_table_of_the_training(shop, tmp_path):
    config = shop.data.model_copy(update={"separators": {"tags": "|", "image": "json"}, "columns": {"item_id": "sku"}})
    lines = ["sku,brand,tags,year,price,stock,title,image"]
    for item in shop.items:
        known = {name: "" if value is None else value for name, value in item.items()}
        image = "" if item["image"] is None else f'"{item["image"]}"'
        cells = [
            known["item_id"],
            known["brand"],
            "|".join(item["tags"]),
            *(known[n] for n in ("year", "price", "stock")),
        ]
        lines.append(",".join(map(str, [*cells, known["title"], image])))
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    spec = KeptRelease.open(shop.store, shop.release).spec
    assert item_table(spec, config, tmp_path / "all.csv").num_rows == len(shop.items)
    done = refresh(shop.store, shop.release, WantedItems(items=tmp_path / "all.csv"), config)
    assert done.release is None


def test_a_column_without_values_is_a_missing_one(shop, tmp_path):
    """As of a few new items without images."""
    item = {**shop.items[1], "item_id": 3, "image": None, "brand": None, "tags": [], "stock": None}
    pq.write_table(pa.Table.from_pylist([item]), tmp_path / "new.parquet")
    done = refresh(shop.store, shop.release, WantedItems(add=tmp_path / "new.parquet"), shop.data)
    assert done.new == 1


def test_a_release_of_an_earlier_version_says_what_to_do(shop, another):
    made = another()
    version = made.version(made.release)
    (version / "refresh" / "items.json").unlink()
    with pytest.raises(ReleaseError, match="exported by an earlier version .* `cascade run` exports it again"):
        KeptRelease.open(made.store, made.release)
