"""Shops that several tests train on."""

import pytest
from model_shop import make_shop

from cascade.workflows.tensors import Tensors


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The data and etl artifacts of a rich shop."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def tensors(shop):
    return Tensors.load(shop["etl"].path)
