"""The stock merlin-systems ensemble of the shop, in a real Triton: built, checked and put under load once."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from waiting import HANG_S

from cascade.bench.stock import measure
from cascade.bench.targets import ExportedPipeline

POINTS = ["what send gave"]


@dataclass
class Load:
    """Takes the place of a load generator: asks for a few of the requests by plain gRPC."""

    answers: dict = field(default_factory=dict)
    refusal: str = ""

    def __call__(self, target, requests):
        import tritonclient.grpc as grpc

        with grpc.InferenceServerClient(target.url) as client:

            def ask(entry):
                values = np.array(entry["content"], np.int64)
                wanted = grpc.InferInput("user_id", entry["shape"], "INT64")
                wanted.set_data_from_numpy(values)
                got = client.infer(target.model, [wanted], client_timeout=HANG_S)
                return [got.as_numpy(name)[0] for name in ("ordered_ids", "ordered_scores")]

            entries = [entry["user_id"] for entry in json.loads(requests.read_text())["data"]]
            for entry in entries[:2]:
                self.answers[entry["content"][0]] = ask(entry)
            with pytest.raises(grpc.InferenceServerException) as caught:
                ask({"content": [10**6], "shape": [1]})
            self.refusal = str(caught.value)
            ask(entries[0])  # it goes on
        return POINTS


@pytest.fixture(scope="module")
def compared(shop, tmp_path_factory):
    """(points, facts, load) of a comparison."""
    load = Load()
    pipeline = ExportedPipeline(shop.config, shop.artifacts.__getitem__)
    points, facts = measure(pipeline, tmp_path_factory.mktemp("stock"), load)
    return points, facts, load


def test_both_graphs_do_the_same_work(compared):
    points, facts, _ = compared
    assert points is POINTS
    assert facts["agreement"]["users"] == 20
    assert facts["agreement"]["scores"] == 20 * facts["shown"]
    assert facts["agreement"]["logit"] <= 1e-4
    assert facts["agreement"]["probability"] <= 1e-4


def test_the_ensemble_is_merlins(compared):
    _, facts, _ = compared
    assert {name.partition("#")[0] for name in facts["memory_mb"]["processes"]} == {
        "tritonserver",
        "executor_model",
        "0_transformworkflowtriton",
        "1_predicttensorflowtriton",
        "2_transformworkflowtriton",
        "3_predicttensorflowtriton",
    }


def test_answers_hold_raw_ids_and_probabilities(compared, shop):
    _, facts, load = compared
    items = np.load(shop.artifacts["etl"].path / "item_ids.npy")
    assert facts["candidates"] == min(200, len(items))
    for ids, scores in load.answers.values():
        assert len(set(ids.tolist())) == facts["shown"]
        assert np.isin(ids, items).all()
        assert ((scores > 0) & (scores < 1)).all()


def test_an_unknown_user_is_an_error_of_the_stock_graph(compared):
    assert "NoneType" in compared[2].refusal
