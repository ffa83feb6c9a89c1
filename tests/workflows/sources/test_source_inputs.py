"""What the data stage reads beside its config: files of tables, and what a registered source says of itself."""

import pytest

from cascade.core.registry import find, register
from cascade.errors import ConfigError
from cascade.workflows.config import DataConfig, SchemaConfig
from cascade.workflows.data.stage import DATA
from cascade.workflows.sources import Source, source_inputs


def names(**given):
    return list(source_inputs(DataConfig(**given)))


def test_files_of_the_three_tables_and_no_others(tmp_path):
    for name in ("interactions.csv", "items.parquet", "notes.txt"):
        (tmp_path / name).touch()
    assert names(source="tables", path=str(tmp_path)) == ["interactions.csv", "items.parquet"]
    (tmp_path / "interactions.parquet").touch()  # is read in the place of the .csv
    assert names(source="tables", path=str(tmp_path)) == ["interactions.parquet", "items.parquet"]


def test_a_folder_that_is_missing_is_left_to_the_source(tmp_path):
    assert names(source="tables") == names(source="tables", path=str(tmp_path / "none")) == []


def test_built_in_sources_do_not_change():
    assert names() == names(source="synthetic") == []


@pytest.fixture
def snapshot():
    def open_snapshot(config):
        return Source(lambda: iter([]), 0)

    open_snapshot.fingerprint = lambda config: config.options["number"]
    register("source", "snapshot", open_snapshot)


def key(number):
    sections = {
        "data": DataConfig(source="snapshot", options={"number": number}),
        "schema": SchemaConfig(sparse=["user_id", "item_id"]),
    }
    return DATA.key(sections, {})


@pytest.mark.usefixtures("snapshot")
def test_a_registered_source_says_when_its_tables_are_others():
    opener = find("source", "snapshot", {})
    assert source_inputs(DataConfig(source="snapshot", options={"number": 7}))["snapshot"].digest == "7"
    before = key(7)
    assert before == key(7)
    opener.fingerprint = lambda config: "another"
    assert key(7) != before


def test_errors_of_a_fingerprint_name_the_source():
    def broken(config):
        raise AssertionError("is not opened")

    broken.fingerprint = lambda config: config.options["absent"]
    register("source", "broken", broken)
    with pytest.raises(ConfigError, match="source 'broken': raised KeyError: 'absent'"):
        names(source="broken")


def test_an_opener_without_a_fingerprint_never_changes():
    register("source", "silent", lambda config: Source(lambda: iter([]), 0))
    assert names(source="silent") == []
