"""Text tables: alignment and how numbers are written."""

import pytest

from cascade.core.text_table import cell_text, table


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.2500"), (12345, "12,345"), (True, "True"), ("07", "07"), (None, "")]
)
def test_cells(value, text):
    assert cell_text(value) == text


def test_numbers_go_to_the_right_and_strings_to_the_left():
    assert table(["id", "n"], [["7", 1], ["1234", None], ["x", 12345]]).splitlines() == [
        "id         n",
        "----  ------",
        "7          1",
        "1234",
        "x     12,345",
    ]


def test_the_alignment_can_be_given():
    assert table(["id"], [["7"], ["1234"]], ["right"]).splitlines()[2:] == ["   7", "1234"]


def test_a_table_without_rows_has_its_titles():
    assert table(["id", "n"], []).splitlines()[0].split() == ["id", "n"]
