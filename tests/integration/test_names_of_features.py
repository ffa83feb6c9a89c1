"""A release whose features have names that some library on the way takes for something else, or does not take."""

import numpy as np
import pyarrow as pa
import pytest

import cascade
from cascade.ensemble.config import ServerConfig

USER = ["Größe", "place", "window", "items", "weight", "index", "self", "Brand", "brand"]
ITEM = ["Sub Category", "日本", "geo.country", "params", "values", "name", "_x", "1st", "item-color"]
CONTEXT = ["device type", "Ort", "columns", "inputs", "key", "training", "T", "size"]
DENSE = {"user": "Alter in Jahren", "item": "price.eur", "context": "K"}
MORE = {"text": "Überschrift", "vectors": "image vector"}


@pytest.fixture(scope="module")
def tables():
    rng, rows = np.random.default_rng(0), np.arange(480)
    items = np.concatenate([rng.permutation(30)[:8] + 1 for _ in range(60)])
    events = {"user_id": rows // 8 + 1, "item_id": items, "timestamp": 1_700_000_000 + 60 * rows}
    users, catalogue = {"user_id": np.arange(1, 61)}, {"item_id": np.arange(1, 31)}
    for table, names, dense in ((users, USER, "user"), (catalogue, ITEM, "item"), (events, CONTEXT, "context")):
        count = len(next(iter(table.values())))
        table |= {name: rng.choice(["a", "b", "c"], count) for name in names}
        table[DENSE[dense]] = rng.random(count)
    catalogue[MORE["text"]] = [f"title {row}" for row in range(30)]
    catalogue[MORE["vectors"]] = rng.random((30, 4)).tolist()
    return {"interactions": pa.table(events), "users": pa.table(users), "items": pa.table(catalogue)}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    overrides = {
        "schema.sparse": ["user_id", "item_id", *USER, *ITEM, *CONTEXT],
        "schema.dense": list(DENSE.values()),
        "schema.text": [MORE["text"]],
        "schema.vectors": [MORE["vectors"]],
        "schema.crosses": [["Größe", "device type"], ["Sub Category", "日本"]],
        "two_tower.training.epochs": 1,
        "dlrm_ranker.training.epochs": 1,
        "serving.ann.type": "flat",
        "feature_store.project": "names",
        "feature_store.repo": str(folder / "features"),
        "export.repository": str(folder / "models"),
    }
    return cascade.load_config(overrides=overrides)


@pytest.fixture(scope="module")
def release(config, tables, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    cascade.run(config, runs, tables=tables, only=["data", "etl", "features", "two_tower", "index", "ranker", "export"])
    with cascade.open_release(config) as opened:
        yield opened


def test_values_reach_the_models_under_any_name(release, tables):
    """The code of each value, as the op reads it from the store or the request, tells the values apart."""
    event = tables["interactions"].slice(0, 40)
    request = {"user_id": event["user_id"].to_numpy()[:, None]}
    request |= {name: np.array(event[name].to_pylist(), object)[:, None] for name in CONTEXT}
    request[DENSE["context"]] = event[DENSE["context"]].to_numpy()[:, None]
    names = [*USER, *CONTEXT, "Größe_device type"]
    found = release.run(request, keep=names)
    users = tables["users"].take(pa.array(event["user_id"].to_numpy() - 1))
    for name in names:
        columns = {"Größe_device type": [users["Größe"], event["device type"]]}
        read = columns.get(name) or [users[name] if name in USER else event[name]]
        values = list(zip(*(column.to_pylist() for column in read), strict=True))
        codes = found[name][:, 0].tolist()
        assert len({*zip(values, codes, strict=True)}) == len({*values}) == len({*codes}), name
        assert min(codes) >= 3, name


def test_a_server_takes_inputs_of_any_name(release, config):
    context = {name: "a" for name in CONTEXT} | {DENSE["context"]: 0.5}
    expected = release.recommend([1, 2], 10, context=context)
    settings = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, standby=False)
    with cascade.Server(config, settings=settings) as server, server.client() as client:
        found = client.recommend([1, 2], 10, context=context)
        batch = missing_in_the_second_row(server.grpc_url)
    assert [[item.item_id for item in answer.items] for answer in found] == expected.item_ids.tolist()
    alone = release.recommend([2], 10)
    assert batch[1].tolist() == alone.item_ids[0].tolist()


def missing_in_the_second_row(url):
    """Items of the users 1 and 2, the context of user 2 missing: a NaN, and the byte 0xFF for text."""
    import tritonclient.grpc as grpc

    text = grpc.InferInput(CONTEXT[0], [2, 1], "BYTES")
    text.set_data_from_numpy(np.array([[b"a"], [b"\xff"]], dtype=object))
    values = {"user_id": ("INT64", [[1], [2]]), "top_k": ("INT32", [[10]] * 2), "K": ("FP64", [[0.5], [np.nan]])}
    inputs = [text]
    for name, (kind, rows) in values.items():
        inputs.append(grpc.InferInput(name, [2, 1], kind))
        inputs[-1].set_data_from_numpy(np.array(rows, {"INT64": np.int64, "INT32": np.int32}.get(kind, np.float64)))
    return grpc.InferenceServerClient(url).infer("cascade", inputs).as_numpy("item_ids")
