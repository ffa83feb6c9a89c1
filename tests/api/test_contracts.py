"""The contracts of all kinds of extensions hold for the built-in ones, and for one example of each."""

import numpy as np
import pytest

from cascade.evaluation.list_metrics import METRICS
from cascade.testing import (
    BaselineContract,
    IndexContract,
    InteractionContract,
    LossContract,
    MetricContract,
    OpContract,
    SourceContract,
)
from examples import BlockList, hit_rate, interaction, last_item, margin, open_taste, scalar_quantized


class TestSource(SourceContract):
    def open(self, config):
        return open_taste(config)


class TestTables(SourceContract):
    def open(self, config):
        from cascade.workflows.sources import open_source

        return open_source(config)

    def settings(self, folder):
        (folder / "interactions.csv").write_text("user_id,item_id\na,x\na,y\nb,x\n")
        return {"source": "tables", "path": str(folder)}


class TestSynthetic(TestTables):
    def settings(self, folder):
        return {"source": "synthetic", "synthetic": {"interactions": 10_000}}


class TestOp(OpContract):
    def make_op(self, folder):
        return BlockList(rows=[2, 5])

    def make_batch(self):
        return {"candidate_rows": np.array([[1, 2, 3], [5, 2, -1], [7, 8, 9]])}


class TestLoss(LossContract):
    loss = staticmethod(margin)


class TestIndex(IndexContract):
    build = staticmethod(scalar_quantized)


class TestFlat(IndexContract):
    recall = 1.0

    @staticmethod
    def build(vectors):
        import faiss

        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return index


class TestBaseline(BaselineContract):
    baseline = staticmethod(last_item)


class TestHitRate(MetricContract):
    metric = staticmethod(hit_rate)


class TestNdcg(MetricContract):
    metric = staticmethod(METRICS["ndcg"])


class TestRecall(MetricContract):
    metric = staticmethod(METRICS["recall"])


class TestMap(MetricContract):
    metric = staticmethod(METRICS["map"])


class TestMrr(MetricContract):
    metric = staticmethod(METRICS["mrr"])


class TestInteraction(InteractionContract):
    @pytest.fixture(autouse=True)
    def of_class(self, request):
        type(self).interaction = interaction()


class TestDot(TestInteraction):
    @pytest.fixture(autouse=True)
    def of_class(self, request):
        from cascade.models.ranker.interactions import Dot

        type(self).interaction = Dot


class TestConcat(TestInteraction):
    @pytest.fixture(autouse=True)
    def of_class(self, request):
        from cascade.models.ranker.interactions import Concat

        type(self).interaction = Concat


class TestCross(TestInteraction):
    options = {"cross": {"layers": 2, "rank": 3}}

    @pytest.fixture(autouse=True)
    def of_class(self, request):
        from cascade.models.ranker.interactions import Cross

        type(self).interaction = Cross
