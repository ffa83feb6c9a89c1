"""Small shops and trained artifacts that several tests share."""

import pytest
from model_shop import make_shop
from stage_runs import run_stages

from cascade.models.ranker.retriever_scores import RetrieverScores
from cascade.workflows.etl.tensors import Tensors


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The data and etl artifacts of a shop with user, item and context features."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def tensors(shop):
    return Tensors.load(shop["etl"].path)


@pytest.fixture(scope="session")
def parts(tmp_path_factory, shop):
    """The shop's artifacts, including two_tower, index and ranker."""
    return run_stages(tmp_path_factory.mktemp("runs"), shop, type="gpu_hnsw")


@pytest.fixture(scope="session")
def similarity(parts, tensors):
    return RetrieverScores.of_training_part(parts, tensors)
