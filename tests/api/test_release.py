"""A release in process: the same answers as the request graph, from ids, arrays and tables."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import cascade
from cascade.api.locate import locate, warn_of_other_features
from cascade.core.artifact import write_artifact
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.ensemble.repository.digests import write_digests
from cascade.errors import ArtifactError, ConfigError, FeatureStoreError, RequestError
from cascade.evaluation.served_graph import feature_repo_at
from cascade.testing.miniature import miniature_repository

USERS = [100, 105, 119, 7]
"""7 is unknown."""


def columns(release, users, dtype="int64", **more):
    """What the executor answers for the same inputs."""
    given = {"user_id": np.array(users, dtype)[:, None]}
    given |= {name: np.full((len(users), 1), value, kind) for name, (value, kind) in more.items()}
    return release.executor(given)


def assert_equal(answer, expected):
    for name in ("item_ids", "scores", "propensities"):
        np.testing.assert_array_equal(getattr(answer, name), expected[name])
    assert [",".join(names) for names in answer.reasons] == expected["reasons"][:, 0].tolist()
    assert {answer.release} == set(expected["release"][:, 0])


@pytest.mark.slow
def test_equals_the_graph(release):
    assert_equal(release.recommend(USERS), columns(release, USERS))
    answer = release.recommend(USERS, top_k=12, context={"hour": 20}, temperature=0.7, seed=3)
    more = {"top_k": (12, "int32"), "hour": (20, "int64"), "temperature": (0.7, "float32"), "seed": (3, "int64")}
    assert_equal(answer, columns(release, USERS, **more))
    assert answer.item_ids.shape == (4, 12) and len(answer) == 4
    assert answer.reasons[3] == ["unknown_user"]


def test_ids_of_text(mini_of_text):
    with cascade.open_release(mini_of_text) as release:
        users = ["u100", "u119", "nobody", "日本"]
        assert_equal(release.recommend(users), columns(release, users, object))
        assert release.recommend(np.array(users)).user_ids.tolist() == users
        assert release.similar(["i1000", "none"], top_k=2).similar_ids[1].tolist() == ["", ""]
        with pytest.raises(RequestError, match="user_id: expected a string, as the ids of this model are text, got 42"):
            release.recommend([42])


@pytest.mark.parametrize(
    "make",
    [
        *(tuple, np.array, pd.Series, pa.array, pd.Index, lambda ids: [str(one) for one in ids]),
        *(lambda ids: np.array(ids, "uint8"), lambda ids: pd.Series(ids, dtype="Int64"), lambda ids: map(int, ids)),
        *(lambda ids: pd.DataFrame({"user_id": ids}), lambda ids: pa.table({"user_id": ids})),
        *(lambda ids: {"user_id": ids}, lambda ids: pd.Series(ids, dtype="float64")),
    ],
)
def test_users_in_any_form(release, make):
    assert_equal(release.recommend(make(USERS)), columns(release, USERS))


def test_context_of_a_table(release):
    hours = pd.DataFrame({"user_id": USERS, "hour": [0, 6, None, 23]})
    together = release.recommend(hours)
    for row, hour in enumerate([0, 6, None, 23]):
        own = release.recommend(USERS[row : row + 1], context=None if hour is None else {"hour": hour})
        np.testing.assert_array_equal(own.scores[0], together.scores[row])
    given = release.recommend(USERS, context={"hour": [0, 6, None, 23]})
    np.testing.assert_array_equal(given.scores, together.scores)


def test_more_users_than_a_batch_takes(release):
    users = list(range(90, 290))
    together = release.recommend(users, top_k=3)
    assert together.item_ids.shape == (200, 3)
    for row in (0, 63, 64, 199):
        np.testing.assert_array_equal(release.recommend([users[row]], top_k=3).item_ids[0], together.item_ids[row])


def test_excluded_items_do_not_come(release):
    before = release.recommend([101]).item_ids[0]
    after = release.recommend([101], exclude=[*before[:3], 999_999]).item_ids[0]
    assert not set(before[:3]) & set(after)


def test_a_tidy_frame(release):
    answer = release.recommend([100, 7], top_k=12, exclude=list(range(1003, 1030)))
    frame = answer.to_frame()
    assert list(frame) == ["user_id", "rank", "item_id", "score", "propensity", "reasons"]
    assert frame.groupby("user_id")["rank"].max().le(3).all()
    assert frame["reasons"].unique().tolist() == ["fewer_items", "unknown_user,fewer_items"]
    assert set(frame["item_id"]) <= {1000, 1001, 1002}
    assert frame["score"].between(0, 1).all() and (frame["propensity"] == 1).all()


REFUSED = [
    (42, {}, r"user_id: expected a sequence of ids, got 42; write \[42\]"),
    ("u1", {}, r"user_id: expected a sequence of ids, got 'u1'; write \['u1'\]"),
    (["x"], {}, "user_id: expected int64, got 'x'"),
    ([1.5], {}, "user_id: expected int64, got 1.5"),
    ([1, None], {}, "user_id: expected int64, got a missing value"),
    ([], {}, "users: expected at least one user, got none"),
    ([[1, 2], [3, 4]], {}, r"user_id: expected one value for each user, got an array of shape \[2, 2\]"),
    (pd.DataFrame({"user": [1]}), {}, "users: the table has no column user_id; it has user"),
    (pd.DataFrame({"user_id": [1], "device": ["app"]}), {}, "context device: the release takes hour; leave other"),
    (pd.DataFrame({"user_id": [1], "hour": [1]}), {"context": {"hour": 2}}, "context hour: is a column of users as w"),
    ([1], {"context": {"hours": 2}}, "context hours: the release takes hour"),
    ([1], {"context": {"hour": [2, 3]}}, "context hour: expected one value, or one for each of 1 users, got 2"),
    ([1], {"context": {"hour": "late"}}, "hour: expected int64, got 'late'"),
    (None, {}, "user_id: expected a sequence of ids, got None$"),
    ({0: 1}, {}, "users: the table has no column user_id; it has 0"),
    ([[1], [2, 3]], {}, "user_id: expected one value for each user, got lists of different lengths"),
    ([{1}], {}, "user_id: expected int64, got {1}"),
    (["\ud800"], {}, r"user_id: expected int64, got '\\ud800'"),
    ([True], {}, "user_id: expected int64, got True"),
    ([1, True], {}, "user_id: expected int64, got True"),
    (np.array([True]), {}, "user_id: expected int64, got True"),
    ([b"1"], {}, "user_id: expected int64, got b'1'"),
    ([1], {"context": [1]}, "context: expected a dict of context column -> value, got a list"),
    ([1], {"context": "hour"}, "context: expected a dict of context column -> value, got a str"),
    ([1], {"context": pd.DataFrame({"hour": [1]})}, "context: expected a dict of .* got a DataFrame"),
    ([1], {"exclude": 1000}, r"exclude: expected a sequence of ids, got 1000; write \[1000\]"),
    ([1], {"exclude": ["x"]}, "exclude: expected int64, got 'x'"),
    ([1], {"top_k": [3]}, r"top_k: expected one number for all users, got \[3\]"),
    ([1], {"top_k": 13}, "top_k: expected 1 to 12, got 13"),
    ([1], {"top_k": 2.5}, "top_k: expected int32, got 2.5"),
    ([1], {"temperature": -1}, "temperature: expected at least 0, got -1"),
]


@pytest.mark.parametrize(("users", "more", "message"), REFUSED)
def test_what_cannot_be_asked_is_named(release, users, more, message):
    with pytest.raises(RequestError, match=message):
        release.recommend(users, **more)


def test_similar_is_exact_cosine(release):
    (lookup,) = [node.op for node in release.executor.nodes if node.stage == "lookup_items"]
    vectors = lookup.tables["item_vectors"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = release.similar([1000, 1017], top_k=4)
    for row, item in enumerate([0, 17]):
        cosine = unit @ unit[item]
        cosine[item] = -2
        best = np.argsort(-cosine)[:4]
        assert near.similar_ids[row].tolist() == (best + 1000).tolist()
        np.testing.assert_allclose(near.similarities[row], cosine[best], rtol=1e-5)
    assert near.reasons == [[], []]


def test_similar_pads_what_there_is_not(release):
    near = release.similar([1000, 5], top_k=40)
    assert near.reasons == [["fewer_items"], ["unknown_item"]]
    assert (near.similar_ids[0, 29:] == -1).all() and (near.similar_ids[1] == -1).all()
    frame = near.to_frame()
    assert list(frame) == ["item_id", "rank", "similar_id", "similarity"] and len(frame) == 29
    with pytest.raises(RequestError, match="top_k: expected at least 1, got 0"):
        release.similar([1000], top_k=0)
    assert release.similar([1000], top_k=2**40).similar_ids.shape == (1, 30)


@pytest.mark.parametrize("top_k", [None, True, 2.5, "3"])
def test_similar_takes_a_whole_number(release, top_k):
    with pytest.raises(RequestError, match=f"top_k: expected a whole number, got {top_k!r}"):
        release.similar([1000], top_k=top_k)


def test_explain_shows_the_way(release, mini):
    made = mini[1]
    answer = release.recommend([105], top_k=3, context={"hour": 20})
    why = release.explain(105, top_k=3, context={"hour": 20})
    assert (why.features, why.context, why.reasons) == ({"gender": "M"}, {"hour": 20}, [])
    assert (why.history, why.rejected) == (made.history[5], made.rejected[5])
    table = why.items.set_index("item_id")
    shown = table[table["outcome"] == "shown"]
    assert shown.index.tolist() == answer.item_ids[0].tolist()
    assert shown["rank"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(shown["score"].astype(float), answer.scores[0], rtol=1e-6)
    seen = table[table["outcome"] == "seen"]
    assert set(seen.index) <= set(made.seen[5]) and len(seen)
    assert seen["score"].isna().all() and seen["retrieval_rank"].notna().all()
    by_similarity = table.sort_values("similarity", ascending=False)
    assert by_similarity["retrieval_rank"].tolist() == list(range(1, len(table) + 1))
    assert table["score_rank"].notna().sum() == 12


def test_explain_says_what_retrieved_an_item(release, tmp_path):
    assert set(release.explain(105, top_k=3).items["source"]) == {"two_tower"}
    miniature_repository(tmp_path / "models", neighbours=True)
    with cascade.open_release(tmp_path / "models") as merged:
        table, stranger = (merged.explain(user, context={"hour": 20}).items for user in (105, 7))
    assert set(table["source"]) == {"two_tower", "neighbours", "two_tower, neighbours"}
    assert (table["neighbour_score"] > 0).equals(table["source"].str.contains("neighbours"))
    total = (table["similarity"] + table["neighbour_score"]).to_numpy()
    assert table["retrieval_rank"].tolist() == (1 + np.argsort(np.argsort(-total))).tolist()
    assert set(stranger["source"]) == {"two_tower"} and not stranger["neighbour_score"].any()


def test_explain_an_unknown_user(release):
    why = release.explain(7, top_k=2)
    assert why.reasons == ["unknown_user"]
    assert (why.features, why.history, why.context) == ({"gender": None}, [], {"hour": None})
    assert (why.items["outcome"] == "shown").sum() == 2


def test_what_it_is(release, mini):
    assert release.id == "0123456789ab"
    assert release.info["pipeline"] == "miniature"
    assert release.context_columns == ["hour"]
    np.testing.assert_array_equal(release.items, mini[1].item_ids)
    assert repr(release) == "<Release 0123456789ab, 30 items>"


def test_a_closed_release_says_so(mini):
    release = cascade.open_release(mini[0])
    release.close()
    release.close()
    assert repr(release) == "<Release, closed>"
    with pytest.raises(ArtifactError, match="the release is closed; open it again"):
        release.recommend([1])


@pytest.mark.parametrize("below", ["", "cascade", "cascade/1"])
def test_opens_any_folder_of_it(mini, below):
    with cascade.open_release(mini[0] / below) as release:
        assert release.id == "0123456789ab"
    with cascade.open_release(str(mini[0] / below)):
        pass


def test_opens_the_highest_version(mini, tmp_path):
    for version in ("1", "2", "10"):
        shutil.copytree(mini[0] / "cascade" / "1", tmp_path / "cascade" / version)
        file = tmp_path / "cascade" / version / "release.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "release": version}))
        write_digests(file.parent, "")
    with cascade.open_release(tmp_path) as release:
        assert release.id == "10"


def test_opens_what_a_config_has_published(mini):
    given = {"schema.sparse": ["user_id", "item_id"], "export.repository": str(mini[0])}
    with cascade.open_release(cascade.load_config(overrides=given)) as release:
        assert release.id == "0123456789ab"
    with pytest.raises(ArtifactError, match="other/1: no release, although export.repository says so; cascade.run"):
        cascade.open_release(cascade.load_config(overrides={**given, "export.model_name": "other"}))


def test_opens_an_artifact(mini, tmp_path):
    def fill(folder):
        shutil.copytree(mini[0] / "cascade", folder / "cascade")

    artifact = write_artifact(tmp_path / "runs" / "export" / "k", "export", {}, fill)
    with cascade.open_release(artifact) as release:
        assert release.id == "0123456789ab"
    other = write_artifact(tmp_path / "runs" / "data" / "k", "data", {}, lambda folder: None)
    with pytest.raises(ArtifactError, match="is an artifact of stage data, expected one of stage export"):
        cascade.open_release(other)


def test_an_artifact_is_opened_with_the_feature_repo_of_its_run(mini, tmp_path):
    folder, served = tmp_path / "runs" / "export" / "k", mini[0] / "cascade"
    artifact = write_artifact(folder, "export", {}, lambda aside: shutil.copytree(served, aside / "cascade") and None)
    record = {"sections": {"feature_store": {"repo": "/of/the/run"}}}
    folder.with_name("k.json").write_text(json.dumps(record))
    for source in (artifact, folder, folder / "cascade" / "1"):
        assert locate(source) == (folder / "cascade" / "1", "/of/the/run")


def test_what_is_no_release_is_named(mini, tmp_path):
    with pytest.raises(ArtifactError, match="nowhere: no such folder"):
        cascade.open_release(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="holds no release"):
        cascade.open_release(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(mini[0] / "cascade", tmp_path / name)
    with pytest.raises(ArtifactError, match="holds the models one, two; give the folder of one"):
        cascade.open_release(tmp_path)


def test_reads_the_feature_repo_that_it_is_given(mini, monkeypatch):
    """The user lookup asks the environment as it is loaded."""
    import os

    seen = []
    load = Executor.load

    def noting(folder):
        seen.append(os.environ["CASCADE_FEATURE_REPO"])
        return load(folder)

    monkeypatch.setattr(Executor, "load", noting)
    monkeypatch.setenv("CASCADE_FEATURE_REPO", "/from/environment")
    given = {
        "schema.sparse": ["user_id", "item_id"],
        "export.repository": str(mini[0]),
        "feature_store.repo": "/config",
    }
    cascade.open_release(mini[0])
    cascade.open_release(cascade.load_config(overrides=given))
    cascade.open_release(mini[0], feature_repo="/argument")
    assert seen == ["/from/environment", "/config", "/argument"]
    assert os.environ["CASCADE_FEATURE_REPO"] == "/from/environment"


def test_a_version_is_a_number(mini, tmp_path):
    shutil.copytree(mini[0], tmp_path / "models")
    shutil.copytree(mini[0] / "cascade" / "1", tmp_path / "models" / "cascade" / ".1.999")
    assert locate(tmp_path / "models")[0].name == "1"
    with pytest.raises(ArtifactError, match="holds no release"):
        locate(tmp_path / "models" / "cascade" / ".1.999")
    shutil.rmtree(tmp_path / "models" / "cascade" / "1")
    with pytest.raises(ArtifactError, match="holds no release"):
        locate(tmp_path / "models")


@pytest.mark.parametrize("file", ["graph.json", "release.json", "item_ids.npy", "item_vectors.npy"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}"])
def test_a_damaged_release_is_named(mini, tmp_path, file, content):
    shutil.copytree(mini[0], tmp_path / "models")
    (damaged, *_) = (tmp_path / "models").rglob(file)
    damaged.unlink() if content is None else damaged.write_bytes(content)
    with pytest.raises(
        ArtifactError, match=r"cascade/1\S*: (damaged|is missing|no graph.json|damaged or incomplete|holds no release)"
    ):
        cascade.open_release(tmp_path / "models" / "cascade" / "1")


@pytest.mark.parametrize("source", [None, 3])
def test_a_source_of_another_type_is_named(source):
    for make in (cascade.open_release, cascade.Server):
        with pytest.raises(
            ConfigError, match=f"source: expected a config, an export artifact or a folder, got {source}"
        ):
            make(source)


def test_the_release_of_another_config_is_refused(mini, tmp_path, monkeypatch):
    def fill(folder):
        shutil.copytree(mini[0] / "cascade", folder / "cascade")
        (folder / "cascade" / "1" / "release.json").write_text('{"release": "fedcba987654"}')

    artifact = write_artifact(tmp_path / "runs" / "export" / "k", "export", {}, fill)
    monkeypatch.setattr("cascade.pipeline.stages.find", lambda config, runs, name: artifact)
    given = {"schema.sparse": ["user_id", "item_id"], "export.repository": str(mini[0])}
    config = cascade.load_config(overrides=given)
    monkeypatch.chdir(tmp_path / "runs")  # no runs/ of its own
    cascade.open_release(config)
    monkeypatch.chdir(tmp_path)
    for make in (cascade.open_release, cascade.Server):
        with pytest.raises(ArtifactError, match='0123456789ab, .* fedcba987654; .*cascade.run.config, only="export"'):
            make(config)


def test_a_feature_repo_that_is_not_found_is_to_be_passed(mini, tmp_path, monkeypatch):
    def refuse(folder):
        raise FeatureStoreError("no store")

    folder, served = tmp_path / "runs" / "export" / "k", mini[0] / "cascade"
    artifact = write_artifact(folder, "export", {}, lambda aside: shutil.copytree(served, aside / "cascade") and None)
    folder.with_name("k.json").write_text(json.dumps({"sections": {"feature_store": {"repo": "of_the_run"}}}))
    monkeypatch.setattr(Executor, "load", refuse)
    with pytest.raises(FeatureStoreError, match="no store; of_the_run is relative to .*: pass feature_repo="):
        cascade.open_release(artifact)
    with pytest.raises(FeatureStoreError, match="no store$"):
        cascade.open_release(artifact, feature_repo="given")


def test_a_store_of_other_features_is_noted(tmp_path, caplog):
    (tmp_path / "data").mkdir()
    (tmp_path / "release.json").write_text(json.dumps({"pipeline": "shop", "parts": {"features": "a" * 64}}))
    (tmp_path / "data" / "shop.json").write_text(json.dumps({"digest": "a" * 64}))
    warn_of_other_features(tmp_path, tmp_path)
    assert not caplog.messages
    (tmp_path / "data" / "shop.json").write_text(json.dumps({"digest": "b" * 64}))
    warn_of_other_features(tmp_path, tmp_path)
    assert caplog.messages == [f"{tmp_path}: holds features {'b' * 12}, the release was made with {'a' * 12}"]


@pytest.mark.parametrize(
    ("request_", "keep", "message"),
    [
        ({}, (), "request: expected what release.request gives, with user_id, got {}"),
        (None, (), "request: expected what release.request gives, with user_id, got None"),
        ({"user_id": [1]}, (), r"user_id: expected an array \[B, ...\], got \[1\]"),
        ({"user_id": np.int64(1)}, (), r"user_id: expected an array \[B, ...\], got"),
        (
            {"user_id": np.array([[1]])},
            ["nope"],
            r"keep: expected a list .* got \['nope'\]; there are user_id",
        ),
        ({"user_id": np.array([[1]])}, "query", "keep: expected a list of columns, got 'query'"),
    ],
)
def test_requests_that_cannot_be_run(release, request_, keep, message):
    with pytest.raises(RequestError, match=message):
        release.run(request_, keep)


def test_explain_gives_ids_that_json_takes(release):
    assert json.dumps(release.explain(101, top_k=2).user_id) == "101"


@pytest.mark.parametrize("repo", [3, b"features", ""], ids=repr)
def test_a_feature_repo_is_a_path(mini, repo):
    with pytest.raises(ConfigError, match="feature_repo: expected the path of a folder, got"):
        cascade.open_release(mini[0], feature_repo=repo)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"sections": 3}'])
def test_a_damaged_record_of_the_run_is_named(mini, tmp_path, text):
    folder = tmp_path / "export" / "k"
    shutil.copytree(mini[0], folder)
    (folder / "manifest.json").write_text("{}")
    folder.with_name("k.json").write_text(text)
    with pytest.raises(ArtifactError, match="k.json: damaged .* pass feature_repo="):
        cascade.open_release(folder)


def test_threads_open_releases_with_their_own_feature_repositories(tmp_path, monkeypatch):
    monkeypatch.delenv(REPO_VARIABLE, raising=False)
    mixed = []

    def enter(repo):
        for _ in range(200):
            with feature_repo_at(repo):
                found = os.environ[REPO_VARIABLE]
                time.sleep(0)  # another thread may run now
                if {found, os.environ[REPO_VARIABLE]} != {str(repo)}:
                    mixed.append(repo)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, [tmp_path / name for name in "abcd"]))
    assert not mixed and REPO_VARIABLE not in os.environ
