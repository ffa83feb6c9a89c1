"""Files that a stage reads are known by their content; a digest is computed once for each change of a file."""

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core import inputs
from cascade.core.inputs import file_inputs


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "tables"
    (made / "interactions.parquet" / "day=1").mkdir(parents=True)
    (made / "interactions.parquet" / "day=1" / "0.parquet").write_bytes(b"first")
    (made / "interactions.parquet" / "_SUCCESS").touch()
    (made / "interactions.parquet" / ".crc").write_bytes(b"x")
    (made / "items.csv").write_bytes(b"item_id\n1\n")
    return made


def tables(folder):
    return [folder / "interactions.parquet", folder / "items.csv"]


def test_files_by_name_with_size_and_digest(folder):
    found = file_inputs(tables(folder), folder)
    assert list(found) == ["interactions.parquet/day=1/0.parquet", "items.csv"]
    assert found["items.csv"].digest == hashlib.sha256(b"item_id\n1\n").hexdigest()
    assert found["items.csv"].size == 10
    assert found["items.csv"].modified == (folder / "items.csv").stat().st_mtime


@pytest.fixture
def settled(monkeypatch):
    """Files count as written long ago."""
    monkeypatch.setattr(inputs, "SETTLED_S", -1.0)


def test_a_digest_is_computed_once(folder, settled, monkeypatch):
    first = file_inputs(tables(folder), folder)
    counted = []
    compute = hashlib.file_digest
    monkeypatch.setattr(inputs.hashlib, "file_digest", lambda *a: counted.append(a) or compute(*a))
    assert file_inputs(tables(folder)[1:], folder)["items.csv"] == first["items.csv"]
    assert not counted


@given(st.binary(max_size=20), st.binary(max_size=20), st.booleans())
def test_a_digest_is_that_of_the_content(tmp_path_factory, old, new, same_time):
    """Even where the new file has the size and the time of the old one."""
    folder = tmp_path_factory.mktemp("tables")
    file = folder / "items.csv"
    for content in (old, new):
        file.write_bytes(content)
        if same_time:
            os.utime(file, (1, 1))
        assert file_inputs([file], folder)["items.csv"].digest == hashlib.sha256(content).hexdigest()


def test_a_damaged_cache_is_made_again(folder, settled, cache):
    cache.mkdir()
    (cache / inputs.DIGESTS).write_text("{")
    assert "items.csv" in file_inputs(tables(folder), folder)
    assert str(folder / "items.csv") in (cache / inputs.DIGESTS).read_text()


def test_a_cache_that_cannot_be_written_costs_only_time(folder, settled, cache):
    cache.write_text("a file where a folder should be")
    assert "items.csv" in file_inputs(tables(folder), folder)
