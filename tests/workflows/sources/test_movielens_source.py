"""Both origins of MovieLens 100k give the same tables, and files with another checksum are refused."""

import zipfile

import pytest

from cascade.core.errors import DataError
from cascade.workflows.config import DataConfig
from cascade.workflows.sources import cache, movielens_100k
from cascade.workflows.sources.movielens_100k import WHEEL_FOLDER, read_archive, read_wheel

RATINGS = "196\t242\t3\t881250949\n186\t302\t3\t891717742\n"
ARCHIVE = {
    "u.data": RATINGS,
    "u.user": "196|49|M|writer|55105\n186|39|F|executive|00000\n",
    "u.genre": "unknown|0\nAction|1\nChildren's|4\nComedy|5\n",
    "u.item": "1|Toy Story (1995)|01-Jan-1995||url|0|0|1|1\n"
    "267|unknown||||1|0|0|0\n"
    "543|Misérables, Les (1995)|01-Jan-1995||url|0|0|0|0\n"
    "1412|Land Before Time III (1995) (V)|01-Jan-1995||url|0|0|1|0\n",
}
WHEEL = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + RATINGS,
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "196\t49\tM\twriter\t55105\n186\t39\tF\texecutive\t00000\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tChildren's Comedy\n267\tunkonwn\tunkonwn\tunknown\n"
    "543\tMisérables, Les\t1995\t\n1412\tLand Before Time III (1995)\tV\tChildren's\n",
}


@pytest.fixture
def origins(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        for name, text in ARCHIVE.items():
            archive.writestr(f"ml-100k/{name}", text.encode("latin-1"))
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        for name, text in WHEEL.items():
            wheel.writestr(WHEEL_FOLDER + name, text.encode("utf-8"))
    return tmp_path / "ml-100k.zip", tmp_path / "x.whl"


def test_both_origins_give_the_same_tables(origins):
    from_archive, from_wheel = read_archive(origins[0]), read_wheel(origins[1])
    for left, right in zip(from_archive, from_wheel, strict=True):
        assert left.schema.equals(right.schema)
        assert left.equals(right)


def test_typed_tables(origins):
    interactions, users, items = read_wheel(origins[1])
    assert interactions.to_pylist()[0] == {"user_id": 196, "item_id": 242, "rating": 3, "timestamp": 881250949}
    assert users.to_pylist()[1] == {
        **{"user_id": 186, "age": 39, "gender": "F"},
        **{"occupation": "executive", "zip_code": "00000"},
    }
    assert items.to_pylist() == [
        {"item_id": 1, "title": "Toy Story", "release_year": 1995, "genres": ["Children's", "Comedy"]},
        {"item_id": 267, "title": "unknown", "release_year": None, "genres": ["unknown"]},
        {"item_id": 543, "title": "Misérables, Les", "release_year": 1995, "genres": []},
        {"item_id": 1412, "title": "Land Before Time III", "release_year": 1995, "genres": ["Children's"]},
    ]


def test_falls_back_to_the_wheel(origins, monkeypatch, tmp_path, caplog):
    def unreachable(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens_100k, "download", unreachable)
    monkeypatch.setattr(movielens_100k, "WHEEL_SHA256", None)
    monkeypatch.setattr(movielens_100k, "_fetch_wheel", lambda aside: aside.write_bytes(origins[1].read_bytes()))
    with caplog.at_level("INFO"):
        source = movielens_100k.open_source(DataConfig())
    assert source.rows == 2
    assert "no route" in caplog.text


def test_a_wrong_checksum_is_never_cached(monkeypatch, tmp_path):
    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="expected SHA-256 abc, found"):
        cache.cached("file", "abc", lambda aside: aside.write_text("something else"))
    assert list(tmp_path.iterdir()) == []


def test_a_cached_file_is_checked_again(monkeypatch, tmp_path):
    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path))
    (tmp_path / "file").write_text("changed")
    with pytest.raises(DataError, match="delete the file to fetch it again"):
        cache.cached("file", "abc", lambda aside: aside.write_text("fresh"))


def test_without_pip_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(movielens_100k.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="has no pip to fetch recbole.*install pip, or put that file into"):
        movielens_100k._fetch_wheel(tmp_path / "aside")
