"""Items that training has not seen, from tables with titles and image embeddings to the served graph."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipelines import ASSETS

USERS, ITEMS, EVENTS = 150, 200, 15
COLOURS = ("red", "blue")


@pytest.fixture(scope="module")
def content(build_pipeline, worker_root):
    """Each user likes the items of one colour, which titles and images tell, and item ids do not."""
    tables = worker_root / "content" / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 2, ITEMS)
    taken = [rng.permutation(np.flatnonzero(colour == user % 2))[:EVENTS] for user in range(USERS)]
    events = {"user_id": np.repeat(np.arange(USERS), EVENTS), "item_id": np.concatenate(taken)}
    pq.write_table(pa.table({**events, "timestamp": np.arange(USERS * EVENTS)}), tables / "interactions.parquet")
    titles = [f"{COLOURS[one]} thing {at}" if at % 10 else None for at, one in enumerate(colour)]
    images = np.eye(2, 5)[colour] + 0.2 * rng.normal(size=(ITEMS, 5))
    images = pa.array([None if at % 7 == 0 else list(row) for at, row in enumerate(images)], pa.list_(pa.float32()))
    items = {"item_id": np.arange(ITEMS), "title": titles, "image": images}
    pq.write_table(pa.table(items), tables / "items.parquet")
    return build_pipeline("content", ASSETS / "content.yaml")


def test_new_items_are_found_by_their_content(content):
    """Users take items of half the catalogue, so a ranking by colour alone finds twice what a random order does."""
    found = content.metrics["new_items"]
    assert found["items"] == 40 and found["users"] > 100
    assert found["among_new"]["recall@10"] > 1.6 * found["chance"]["recall@10"]
    assert found["cascade"]["recall@10"] > 0
    low, high = found["intervals"]["among_new"]["recall@10"]
    assert low < found["among_new"]["recall@10"] < high


def test_the_release_holds_them(content):
    """Index and item snapshot have every item; the ranker is split although items have vectors."""
    served = content.version_folder
    assert len(np.load(content.artifacts["index"].path / "item_vectors.npy")) == ITEMS
    names = {file.name for file in served.rglob("*.npy")}
    assert "item_slots.npy" in names and "image.npy" not in names
    assert content.artifacts["ranker"].metrics["onnx_max_difference"] < 1e-4


def test_the_page_and_the_feature_store(content):
    assert "retriever, new items only" in (content.artifacts["evaluation"].path / "report.html").read_text()
    columns = pq.read_schema(content.artifacts["features"].path / "item_features.parquet").names
    assert "title" in columns and "image" not in columns
