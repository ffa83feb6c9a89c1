"""How many trainings a ranker takes, and what is said of each."""

import numpy as np
import pytest

from cascade.models.config import DlrmConfig
from cascade.models.ranker import training
from cascade.models.training.loop import WEIGHTS, Fit

SCORES = {"ranker": 0.7, "ranker from random vectors": 0.6}


class Impressions:
    def with_newest(self, config):
        return self


def said(monkeypatch, caplog, folder, config):
    """The lines of all trainings of impressions, in order; nothing is trained."""

    def train(tensors, rows, own, checkpoint, vectors, *, title="ranker", validate=True):
        checkpoint.mkdir(exist_ok=True)
        (checkpoint / WEIGHTS).write_text(title)
        return None, Fit(4, 3, SCORES[title] if validate else None, [1.0]), "valid" if validate else None

    monkeypatch.setattr(training, "train", train)
    rows, vectors = Impressions(), np.zeros((2, 2), np.float32)
    with caplog.at_level("INFO", "cascade"):
        found = training.train_from_best_start(None, rows, config, folder / "checkpoint", vectors)
        training.refit(
            None, rows, found.config, folder / "checkpoint", vectors, found.fit, found.valid, before=found.trainings
        )
    return caplog.messages


def test_each_training_says_which_it_is_and_why(monkeypatch, caplog, tmp_path):
    assert said(monkeypatch, caplog, tmp_path, DlrmConfig()) == [
        "ranker: training 1 of at most 3: items start from the retriever's vectors",
        "ranker: training 2 of 3: items start from random vectors, to keep what validates better",
        "ranker: training 3 of 3: with the validation part too, for the best number of epochs, 3",
    ]


@pytest.mark.parametrize(("warm", "start"), [(True, "the retriever's vectors"), (False, "random vectors")])
def test_a_given_start_is_one_training_less(monkeypatch, caplog, tmp_path, warm, start):
    assert said(monkeypatch, caplog, tmp_path, DlrmConfig(warm_start=warm)) == [
        f"ranker: training 1 of at most 2: items start from {start}",
        "ranker: training 2 of 2: with the validation part too, for the best number of epochs, 3",
    ]


def test_one_training_is_not_counted(monkeypatch, caplog, tmp_path):
    assert said(monkeypatch, caplog, tmp_path, DlrmConfig(warm_start=True, refit=False)) == []
