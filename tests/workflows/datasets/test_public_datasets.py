"""Archives in their owners' formats, a few rows each, become the three tables; the real ones need a network."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.datasets import DATASETS
from cascade.workflows.datasets.fetch import content_digest, fetch

ML_1M = {
    "ratings.dat": "1::2::5::978300760\n2::1::3::978300100\n1::1::4::978302109\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies.dat": "1::Toy Story (1995)::Animation|Children's\n2::Caf\xe9: a film::Comedy\n",
}
ML_25M = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,20\n1,1,5.0,10\n",
    "movies.csv": 'movieId,title,genres\n1,"Postman, The (1994)",Drama|Comedy\n2,Untitled,(no genres listed)\n',
}
LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,play_time_ms,"
    "duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab\n"
)
KUAIRAND = {
    "log_standard_4_08_to_4_21_pure.csv": LOG + "3,10,20220408,1600,1649408076860,1,0,0,0,0,0,1,9,8,0,0,0,0,1\n",
    "log_standard_4_22_to_5_08_pure.csv": LOG + "4,11,20220423,100,1649400000123,0,1,0,0,0,0,0,7,6,0,0,0,0,2\n",
    "user_features_pure.csv": "user_id,user_active_degree\n3,high\n4,full\n",
    "video_features_basic_pure.csv": 'video_id,author_id,tag\n10,7,"20,43"\n11,8,39\n',
}


def zipped(file, folder, members):
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(f"{folder}/{name}", text.encode("latin-1"))
    return file


def unchecked(name, content=None):
    """The data set, for files that are not the real ones."""
    dataset = DATASETS[name]
    return replace(dataset, files=tuple(replace(file, checksum=None) for file in dataset.files), content=content)


def rows(folder, table):
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


def test_movielens_1m(tmp_path):
    archive = zipped(tmp_path / "ml-1m.zip", "ml-1m", ML_1M)
    counts = fetch(unchecked("movielens-1m"), tmp_path / "out", [archive])
    assert counts == {"interactions": 3, "users": 2, "items": 2}
    assert [
        (r["user_id"], r["item_id"], r["rating"], r["timestamp"]) for r in rows(tmp_path / "out", "interactions")
    ] == [
        (2, 1, 3, 978300100),
        (1, 2, 5, 978300760),
        (1, 1, 4, 978302109),
    ]
    assert rows(tmp_path / "out", "users")[0] == {
        "user_id": 1,
        "gender": "F",
        "age": 1,
        "occupation": 10,
        "zip": "48067",
    }
    assert rows(tmp_path / "out", "items") == [
        {"item_id": 1, "title": "Toy Story (1995)", "genres": ["Animation", "Children's"], "year": 1995},
        {"item_id": 2, "title": "Caf\xe9: a film", "genres": ["Comedy"], "year": None},
    ]


def test_movielens_100k(tmp_path):
    """The real one, as the demo uses it."""
    assert fetch(DATASETS["movielens-100k"], tmp_path / "out") == {
        "interactions": 100_000,
        "users": 943,
        "items": 1_682,
    }
    times = [row["timestamp"] for row in rows(tmp_path / "out", "interactions")]
    assert times == sorted(times)


def test_movielens_25m(tmp_path):
    archive = zipped(tmp_path / "ml-25m.zip", "ml-25m", ML_25M)
    fetch(unchecked("movielens-25m"), tmp_path / "out", [archive])
    assert [r["rating"] for r in rows(tmp_path / "out", "interactions")] == [5.0, 3.5]
    assert rows(tmp_path / "out", "items")[1] == {"item_id": 2, "title": "Untitled", "genres": [], "year": None}
    assert rows(tmp_path / "out", "users") == [{"user_id": 1}]


def test_kuairand(tmp_path):
    with tarfile.open(tmp_path / "KuaiRand-Pure.tar.gz", "w:gz") as archive:
        for name, text in KUAIRAND.items():
            entry = tarfile.TarInfo(f"KuaiRand-Pure/data/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    fetch(unchecked("kuairand"), tmp_path / "out", [tmp_path / "KuaiRand-Pure.tar.gz"])
    first, second = rows(tmp_path / "out", "interactions")
    assert (first["user_id"], first["item_id"], first["is_like"], first["timestamp"]) == (4, 11, 1, 1649400000)
    assert (second["hourmin"], second["time_ms"], second["play_time_ms"]) == (1600, 1649408076860, 9)
    assert rows(tmp_path / "out", "items")[0] == {"item_id": 10, "author_id": 7, "tag": "20,43"}


def beauty(folder, text="1 30 20\n2 20\n"):
    (folder / "Beauty.txt").write_text(text)
    (folder / "Beauty_item2attributes.json").write_text(json.dumps({"20": [1, 2], "30": [3]}))
    return [folder / "Beauty.txt", folder / "Beauty_item2attributes.json"]


def test_beauty(tmp_path):
    fetch(unchecked("beauty"), tmp_path / "out", beauty(tmp_path))
    assert rows(tmp_path / "out", "interactions") == [
        {"user_id": 1, "item_id": 30, "timestamp": 0},
        {"user_id": 1, "item_id": 20, "timestamp": 1},
        {"user_id": 2, "item_id": 20, "timestamp": 0},
    ]
    assert rows(tmp_path / "out", "items")[0] == {"item_id": 20, "attributes": [1, 2]}
    with pytest.raises(DataError, match=r"Beauty.txt, line 2: expected a user and items as whole numbers, found '2 x'"):
        fetch(unchecked("beauty"), tmp_path / "other", beauty(tmp_path, "1 30\n2 x\n"))


def test_other_content_is_refused(tmp_path):
    """Where the owner publishes no checksum, the tables have one of ours."""
    tables = DATASETS["beauty"].read({file.name: file for file in beauty(tmp_path)})
    fetch(unchecked("beauty", content_digest(tables)), tmp_path / "out", beauty(tmp_path))
    changed = beauty(tmp_path, "1 20 30\n2 20\n")
    with pytest.raises(DataError, match="beauty: the tables have the digest"):
        fetch(unchecked("beauty", content_digest(tables)), tmp_path / "changed", changed)
    assert not (tmp_path / "changed").exists()


def test_a_damaged_archive_is_refused(tmp_path):
    archive = zipped(tmp_path / "ml-1m.zip", "ml-1m", ML_1M)
    with pytest.raises(DataError, match=r"ml-1m.zip: expected md5 c4d9eecfca2ab87c1945afe126590906, found"):
        fetch(DATASETS["movielens-1m"], tmp_path / "out", [archive])


def test_an_archive_of_movielens_100k_is_verified(tmp_path):
    archive = zipped(tmp_path / "ml-100k.zip", "ml-100k", {"u.data": "1\t1\t5\t1\n"})
    with pytest.raises(DataError, match=r"ml-100k.zip: expected sha256 50d2a982"):
        fetch(DATASETS["movielens-100k"], tmp_path / "out", [archive])


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_bytes(b"PK nothing"), lambda file: zipped(file, "ml-1m", {"users.dat": ""})]
)
def test_what_is_not_the_data_set_is_said_in_one_line(tmp_path, damage):
    damage(tmp_path / "ml-1m.zip")
    with pytest.raises(DataError, match=r"ml-1m.zip: not what MovieLens 1M: .* holds \((BadZipFile|KeyError): "):
        fetch(unchecked("movielens-1m"), tmp_path / "out", [tmp_path / "ml-1m.zip"])


def test_arguments_are_checked_before_anything_is_read(tmp_path):
    times = [datetime(2001, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)]
    with pytest.raises(
        ConfigError, match="--since 2001-01-01T00:00:00: must be earlier than --before 2000-01-01T00:00"
    ):
        fetch(DATASETS["movielens-1m"], tmp_path / "out", [], *times)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--out .*file: is a file; name a folder"):
        fetch(DATASETS["movielens-1m"], tmp_path / "file")
    with pytest.raises(ConfigError, match=r"--out .*file/x: cannot be made: "):
        fetch(DATASETS["movielens-1m"], tmp_path / "file" / "x")


def test_a_period(tmp_path):
    archive = zipped(tmp_path / "ml-1m.zip", "ml-1m", ML_1M)
    times = [datetime.fromtimestamp(second, UTC) for second in (978300760, 978302109, 1)]
    assert fetch(unchecked("movielens-1m"), tmp_path / "out", [archive], times[0], times[1])["interactions"] == 1
    with pytest.raises(ConfigError, match="--since and --before: no interaction lies between them"):
        fetch(unchecked("movielens-1m"), tmp_path / "out", [archive], before=times[2])


def test_only_its_own_folder_is_replaced(tmp_path):
    archive = zipped(tmp_path / "ml-1m.zip", "ml-1m", ML_1M)
    (tmp_path / "mine").mkdir()
    for _ in range(2):
        fetch(unchecked("movielens-1m"), tmp_path / "out", [archive])
    for folder in ("mine", "out"):
        (tmp_path / folder / "thesis.txt").write_text("all of it")
        with pytest.raises(ConfigError, match=rf"--out .*{folder}: holds thesis.txt, which"):
            fetch(unchecked("movielens-1m"), tmp_path / folder, [archive])
    source = json.loads((tmp_path / "out" / "SOURCE.json").read_text())
    assert "no redistribution" in source["licence"] and source["rows"]["interactions"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "ml-1m.zip", "out"]


def test_a_file_of_another_data_set_is_refused(tmp_path):
    (tmp_path / "x.zip").touch()
    with pytest.raises(ConfigError, match=r"--archive .*x.zip: movielens-1m has the files ml-1m.zip"):
        fetch(DATASETS["movielens-1m"], tmp_path / "out", [tmp_path / "x.zip"])
    with pytest.raises(ConfigError, match=r"--archive .*ml-1m.zip: no such file"):
        fetch(DATASETS["movielens-1m"], tmp_path / "out", [tmp_path / "ml-1m.zip"])


@pytest.fixture
def owner(tmp_path):
    """A web server on this machine that offers the folder ``www``."""
    (tmp_path / "www").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "www")
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_download_and_cache(tmp_path, owner, monkeypatch):
    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path / "cache"))
    archive = zipped(tmp_path / "www" / "ml-1m.zip", "ml-1m", ML_1M)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    dataset = DATASETS["movielens-1m"]
    [file] = dataset.files
    dataset = replace(dataset, files=(replace(file, url=owner + file.name, checksum=f"sha256:{digest}"),))
    fetch(dataset, tmp_path / "out")
    archive.unlink()
    assert fetch(dataset, tmp_path / "again")["interactions"] == 3  # from the cache
    (tmp_path / "cache" / "ml-1m.zip").unlink()
    with pytest.raises(DataError, match=r"movielens-1m: cannot download http.*404.*--archive PATH/ml-1m.zip"):
        fetch(dataset, tmp_path / "third")
    assert list((tmp_path / "cache").iterdir()) == []


def test_every_data_set_is_described():
    for name, dataset in DATASETS.items():
        assert name == dataset.name and dataset.title and dataset.licence and dataset.homepage.startswith("https://")
        pinned = dataset.content or all(file.checksum for file in dataset.files)
        assert pinned, f"{name} has a file without a checksum"
