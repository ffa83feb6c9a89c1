"""What counts as the same answer."""

import pytest

from cascade.ensemble.protocol.recommendation import Recommendation, RecommendedItem
from cascade.ensemble.protocol.same_answer import difference


def answer(*scored: tuple[int, float], reasons: tuple[str, ...] = ()) -> Recommendation:
    return Recommendation(1, [RecommendedItem(item, score, 1.0) for item, score in scored], [*reasons], "a", {})


OWN = answer((7, 0.9), (8, 0.5), (9, 0.2))


@pytest.mark.parametrize(
    "other",
    [
        OWN,
        answer((7, 0.90005), (8, 0.5), (9, 0.2)),
        answer((7, 0.9), (8, 0.5), (6, 0.20005)),  # it ties with the last one
        answer((7, 0.9), (8, 0.5), (9, 0.2), reasons=("canary_unavailable",)),
    ],
)
def test_rounding_and_an_arm_that_is_away_are_no_difference(other: Recommendation) -> None:
    assert difference(other, OWN) == ""


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (answer((7, 0.9), (8, 0.5)), "numbers of items"),
        (answer((7, 0.9), (6, 0.5), (9, 0.2)), "items"),
        (answer((7, 0.9), (8, 0.5), (6, 0.3)), "items"),
        (answer((7, 0.9), (8, 0.502), (9, 0.2)), "scores"),
        (answer((8, 0.9), (7, 0.5), (9, 0.2)), "scores"),  # the same items with each other's scores
        (answer((7, 0.9), (8, 0.5), (9, 0.2), reasons=("unknown_user",)), "reasons"),
    ],
)
def test_anything_else_is(other: Recommendation, what: str) -> None:
    assert difference(other, OWN) == what


def test_two_items_that_tie_may_change_places() -> None:
    assert difference(answer((8, 0.50004), (7, 0.5)), answer((7, 0.50003), (8, 0.5))) == ""


def test_small_scores_are_not_all_the_same() -> None:
    own = answer((7, 3e-5), (8, 2e-5))
    assert difference(answer((6, 3e-5), (8, 2e-5)), own) == "items"
    assert difference(answer((7, 2.9e-5), (8, 2e-5)), own) == ""
