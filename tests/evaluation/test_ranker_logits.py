"""Where the logits of logged impressions come from."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cascade.core.artifact import Artifact
from cascade.evaluation.impressions import ranker_logits
from cascade.evaluation.ranking import RankedRows
from cascade.models.config import DlrmConfig
from cascade.models.ranker.score_fusion import Fusion

FUSION = asdict(Fusion(ranker=0.8, retriever=2.0, bias=-1.0))


@pytest.mark.parametrize("kept", [{}, {"impression_fusion": FUSION}])
def test_they_are_the_served_ones_if_the_release_serves_what_predicts_impressions(kept):
    """No checkpoint is loaded: there are neither tensors nor artifacts."""
    served = RankedRows(*np.arange(15, dtype=np.float32).reshape(5, 3))
    parents = {"ranker": Artifact(Path("nowhere"), "ranker", "", {}, {"fusion": FUSION, **kept})}
    found = ranker_logits(served, None, None, parents, DlrmConfig())
    assert list(found) == ["label"] and found["label"] is served.logits
