"""Reading Feast's online format without its SDK, compared with the SDK."""

import subprocess
import sys
from pathlib import Path

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import FeatureStoreError
from cascade.workflows.features.online import (
    FeatureQuery,
    entity_key,
    open_reader,
    parse_redis,
)

QUERY = FeatureQuery("p", "user_id", {"user_history": ["history_ids"]})


@given(st.integers(-(2**63), 2**63 - 1) | st.text())
def test_entity_key_is_feasts(value: int | str) -> None:
    proto = Value(string_val=value) if isinstance(value, str) else Value(int64_val=value)
    expected = serialize_entity_key(EntityKey(join_keys=["user_id"], entity_values=[proto]), 3)
    assert entity_key("user_id", value) == expected


@pytest.mark.parametrize("connection", ["localhost:6380", "h:1,db=2,ssl=true,password=a=b", "h:1,username=me"])
def test_connection_string_is_parsed_as_feast_does(connection: str) -> None:
    [node], options = RedisOnlineStore._parse_connection_string(connection)
    assert parse_redis(connection) == {"host": node["host"], "port": int(node["port"]), **options}


def test_no_store_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreError, match=r"online_store.db: no online store; run `cascade features"):
        open_reader(QUERY, tmp_path, "sqlite", "")


def test_a_store_without_the_view_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "online_store.db").touch()
    with pytest.raises(FeatureStoreError, match="no such table: p_user_history; run"):
        open_reader(QUERY, tmp_path, "sqlite", "")


def test_reading_needs_neither_feast_nor_pandas() -> None:
    code = (
        "import sys; from cascade.workflows.features.values import ValueDecoder; ValueDecoder();"
        "import cascade.ensemble.graph.ops.lookup_user;"
        "print({'feast', 'pandas', 'pyarrow', 'pydantic'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"


def test_a_store_in_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "online_store.db").touch()
    for writable, advice in ((True, "cascade features materialize"), (False, "able to write to its folder")):
        monkeypatch.setattr("os.access", lambda *_, writable=writable: writable)
        with pytest.raises(FeatureStoreError, match=f"online_store.db: .*{advice}"):
            open_reader(QUERY, tmp_path, "sqlite", "")
