"""Printed text: ids stay as they are, numbers line up."""

from cascade.cli.text import answer_table
from cascade.core.text_table import table
from cascade.ensemble.client import Recommendation, RecommendedItem


def test_numbers_to_the_right_and_text_to_the_left() -> None:
    assert table(["name", "n"], [["a", 1234], ["b", 5], ["c", None]]).splitlines() == [
        "name        n",
        "------  -----",
        "a       1,234",
        "b           5",
        "c",
    ]


def test_a_table_without_rows() -> None:
    assert table(["a", "b"], []).splitlines() == ["a    b", "---  ---"]


def test_ids_are_not_numbers() -> None:
    items = [RecommendedItem("0012", 0.5, 1.0), RecommendedItem(123456, 0.25, 1.0)]
    shown = answer_table(Recommendation("u", items, [], "r", {}), {"0012": "Twelve"})
    rows = [line.split() for line in shown.splitlines()[2:]]
    assert rows == [["1", "0012", "Twelve", "0.5000", "1.0000"], ["2", "123456", "0.2500", "1.0000"]]
