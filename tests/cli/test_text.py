"""Recommendations as text: ids are printed as they are."""

from cascade.cli.text.answer import answer_table
from cascade.ensemble.protocol.recommendation import Recommendation, RecommendedItem


def test_ids_are_not_numbers() -> None:
    items = [RecommendedItem("0012", 0.5, 1.0), RecommendedItem(123456, 0.25, 1.0)]
    shown = answer_table(Recommendation("u", items, [], "r", {}), {"0012": "Twelve"})
    rows = [line.split() for line in shown.splitlines()[2:]]
    assert rows == [["1", "0012", "Twelve", "0.5000", "1.0000"], ["2", "123456", "0.2500", "1.0000"]]
