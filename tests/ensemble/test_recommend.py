"""What the recommend command prints."""

import pytest
from cascade.ensemble.client import Recommendation, RecommendedItem
from cascade.ensemble.recommend import parse_context, table

from cascade.core.errors import RequestError

ANSWER = Recommendation(
    user_id=42,
    items=[RecommendedItem(7, 0.5, 1.0), RecommendedItem(1234, 0.25, 0.125)],
    reasons=["fewer_items"],
    release="abc",
    stages_ms={"lookup_user": 0.25, "rank": 1.0},
)


def test_the_table_is_aligned():
    assert table(ANSWER, {7: "Seven"}).splitlines() == [
        "user 42, release abc, fewer_items",
        "  #  item   score  propensity  title",
        "  1     7  0.5000      1.0000  Seven",
        "  2  1234  0.2500      0.1250  ",
        "1.25 ms in the graph: lookup_user 0.25  rank 1.00",
    ]


def test_without_titles_there_is_no_such_column():
    assert "title" not in table(ANSWER, {})


def test_json_has_the_agreed_shape():
    assert ANSWER.to_json() == {
        "user_id": 42,
        "items": [
            {"item_id": 7, "score": 0.5, "propensity": 1.0},
            {"item_id": 1234, "score": 0.25, "propensity": 0.125},
        ],
        "reasons": ["fewer_items"],
        "release": "abc",
        "stages_ms": {"lookup_user": 0.25, "rank": 1.0},
    }


def test_context_pairs():
    assert parse_context(["hour=20", "page=a=b"]) == {"hour": "20", "page": "a=b"}
    with pytest.raises(RequestError, match="hour.*column=value"):
        parse_context(["hour"])
