"""A miniature release, as steps (fast) and exported through merlin-systems (imports TensorFlow once)."""

import numpy as np
import pytest

from cascade.ensemble.graph.executor import Executor
from cascade.testing.miniature import SERVING, miniature, miniature_repository

OUTPUTS = ("item_ids", "scores", "propensities", "reasons", "release")


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """The steps of a miniature release, with loaded ops."""
    folder = tmp_path_factory.mktemp("mini")
    made = miniature(folder)
    for step in made.steps.named.values():
        step.op.load(folder)
    return made


@pytest.fixture(scope="session")
def mini_executor(mini):
    ops = {step.op.kind: step.op for step in mini.steps.named.values()}
    return Executor(mini.inputs, ops, OUTPUTS, max_users=SERVING.max_batch_size, validate=True)


@pytest.fixture(scope="session", params=["int64", "object"])
def exported(request, tmp_path_factory):
    """(miniature, model repository), with int64 and with string ids."""
    repository = tmp_path_factory.mktemp("exported") / "repository"
    return miniature_repository(repository, string_ids=request.param == "object"), repository


@pytest.fixture(scope="session")
def ids():
    """Column [B, 1] of user ids, in the dtype of the graph."""
    return lambda values: np.array(values, dtype=object if isinstance(values[0], str) else np.int64)[:, None]
