"""What names tell is refused without reading a row: by `cascade plan` and `cascade doctor` as by a run."""

from pathlib import Path
from typing import Any

import pytest

from cascade.core.errors import CascadeError, DataError
from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data.stage import DATA

FILES = {
    "interactions.csv": "user_id,item_id,event\n1,2,buy,one field too many\n",
    "items.csv": "item_id,price\n2,3,one field too many\n",
}
IDS = ["user_id", "item_id"]


def sections(folder: Path, schema: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    given = {"source": "tables", "path": str(folder), **data}
    return {"data": DataConfig(**given), "schema": SchemaConfig(**{"sparse": IDS, **schema})}


@pytest.mark.parametrize(
    ("files", "schema", "data", "message"),
    [
        (FILES, {}, {"path": "/nowhere"}, r"^data\.path: /nowhere is not a folder$"),
        ({}, {}, {}, "no interactions.parquet and no interactions.csv"),
        ({"items.csv": "item_id\n1\n"}, {}, {}, "no interactions.parquet and no interactions.csv"),
        (FILES, {"dense": ["prize"]}, {}, r"schema\.dense: 'prize' is in no table, did you mean 'price'"),
        (FILES, {"sparse": [*IDS, "brand"]}, {}, r"schema\.sparse: 'brand' is in no table"),
        (FILES, {}, {"positive": "evnt == 'buy'"}, r"data\.positive: interactions has no column 'evnt'"),
        (FILES, {}, {"columns": {"timestamp": "ts"}}, r"data\.columns\.timestamp: no table has a column 'ts'"),
        (FILES, {}, {"types": {"brand": "text"}}, r"data\.types\.brand: no table has such a column"),
        (FILES, {}, {"title": "name"}, r"data\.title: items has no column 'name'"),
        (FILES, {}, {"split": {"by": "column", "column": "part"}}, r"data\.split\.column: interactions has no column"),
        ({**FILES, "users.csv": "id\n1\n"}, {}, {}, r"users\.user_id: missing column"),
        ({"interactions.csv": "user,item_id\n1,2\n"}, {}, {}, r"interactions\.user_id: missing column"),
        ({"interactions.parquet": "user_id,item_id\n1,2\n"}, {}, {}, r"interactions\.parquet: "),
        (FILES, {"dense": ["event"]}, {"label": "event == 'buy'"}, "event"),
    ],
)
def test_a_run_refuses_the_same(tmp_path, files, schema, data, message):
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    given = sections(folder, schema, data)
    with pytest.raises(CascadeError, match=message) as told:
        DATA.check_inputs(given)
    with pytest.raises(type(told.value)) as refused:
        DATA.run(tmp_path / "runs", given, {})
    assert str(refused.value) == str(told.value)


def test_rows_are_not_read(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    given = sections(tmp_path, {"dense": ["price"]}, {"positive": "event == 'buy'"})
    DATA.check_inputs(given)
    with pytest.raises(DataError, match="4"):
        DATA.run(tmp_path / "runs", given, {})


def test_what_is_left_out_is_said_by_the_run_alone(tmp_path, caplog):
    files = {"interactions.csv": "user_id,item_id\n1,2\n", "items.csv": "sku,item_id\n2,1\n", "items.csv.gz": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    given = sections(tmp_path, {}, {"columns": {"items": {"item_id": "sku"}}})
    DATA.check_inputs(given)
    assert caplog.messages == []
    with pytest.raises(DataError):
        DATA.run(tmp_path / "runs", given, {})
    assert caplog.messages == [
        "items.csv.gz: not read, items.csv is there",
        "items.item_id: is left out, data.columns.items takes sku in its place",
    ]
