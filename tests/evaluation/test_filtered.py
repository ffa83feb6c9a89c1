"""Held-out items that are filtered."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.core.errors import DataError
from cascade.evaluation.filtered import check_filtered
from cascade.evaluation.funnel import FATES, summary
from cascade.evaluation.ranking import RankedRows
from cascade.evaluation.replay import Replay

RELEVANT = csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool))


def check(fates: list[str], seen: list[list[int]], answers: int = 0, min_score: float = 0.5) -> list[str]:
    fate = np.array([FATES.index(name) for name in fates])
    none = np.empty(0, np.int64)
    candidates = RankedRows(none.astype(np.float32), none.astype(bool), none, none, none)
    run = Replay(
        queries=np.zeros((2, 1), np.float32),
        seen=csr_matrix(np.array(seen, bool)),
        answers=np.full((2, 3), answers),
        candidates=candidates,
        fates=fate,
        retrieved=np.full((2, 3), answers),
        histories=np.zeros((2, 0), np.int32),
        sources={},
    )
    return check_filtered(run, RELEVANT, summary(fate), min_score)


ALL_SEEN = [[1, 1, 0, 1], [0, 1, 1, 0]]
ONE_SEEN = [[1, 0, 0, 1], [0, 0, 0, 0]]
NONE_SEEN = [[0, 0, 1, 1], [0, 0, 0, 0]]


def test_all_seen_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        DataError,
        match="all 4 held-out items are filtered.*: 4 are items that the user had.*serving.seen: keep.*keep only",
    ):
        check(["filtered"] * 4, ALL_SEEN)


def test_all_filtered_for_two_reasons() -> None:
    message = (
        r"1 are items .*, 3 have a score below serving.thresholds.min_score = 0.5 \(.*filtered 4.*\).*keep.*; lower"
    )
    with pytest.raises(DataError, match=message):
        check(["filtered"] * 4, ONE_SEEN)


def test_empty_answers_are_an_error_even_if_some_items_were_not_retrieved() -> None:
    with pytest.raises(DataError, match="answers to all 2 test users are empty.*min_score = 0.5 .*filtered 1.*lower"):
        check(["not_retrieved"] * 3 + ["filtered"], NONE_SEEN, answers=-1)


def test_many_are_a_notice() -> None:
    [notice] = check(["filtered"] * 3 + ["found"], ONE_SEEN)
    assert notice.startswith("3 of 4 held-out items (75.0%) are filtered and count as not found: 1 are")
    assert check(["filtered", "filtered", "found", "ranked_low"], ONE_SEEN) == []


def test_a_metric_that_is_0_for_another_reason_is_a_measurement() -> None:
    assert check(["not_retrieved"] * 3 + ["ranked_low"], NONE_SEEN) == []
