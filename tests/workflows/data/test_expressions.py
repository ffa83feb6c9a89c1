"""The expressions of positives and labels."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.data.expressions import positives, with_label

TABLE = pa.table({"rating": [5, 3, None, 4], "event": ["buy", "view", "buy", None], "item_id": [1, 2, 3, 4]})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rating >= 4", [True, False, False, True]),
        ("event == 'buy'", [True, False, True, False]),
        ("event in ['buy', 'cart'] and rating > 1", [True, False, False, False]),
        ("not rating < 4", [True, False, False, True]),
        ("rating * 2 > 7 | item_id == 2", [True, True, False, True]),
        (None, [True] * 4),
    ],
)
def test_evaluates(expression, expected):
    assert positives(TABLE, expression).tolist() == expected


WHOLE = st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(2**53 - 2, 2**53 + 2))


@given(values=st.lists(WHOLE, min_size=1, max_size=8), data=st.data())
@settings(max_examples=60, deadline=None)
def test_whole_numbers_are_compared_exactly(values, data):
    sought = data.draw(st.sampled_from([value for value in values if value is not None] or [7]))
    table = pa.table({"k": pa.array(values, pa.int64()), "text": [None if v is None else str(v) for v in values]})
    equal = [value is not None and value == sought for value in values]
    assert positives(table, f"k == {sought}").tolist() == equal
    assert positives(table, f"k in [{sought}]").tolist() == equal
    assert positives(table, f"not k != {sought}").tolist() == equal
    assert positives(table, f"text >= {str(sought)!r} and text <= {str(sought)!r}").tolist() == equal
    assert positives(table, f"k > {sought}").tolist() == [value is not None and value > sought for value in values]


@given(
    flags=st.lists(st.none() | st.booleans(), min_size=1, max_size=6),
    ratings=st.lists(st.integers(1, 5), min_size=6, max_size=6),
    as_float=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_a_column_of_true_and_false_stands_for_itself(flags, ratings, as_float):
    ratings = ratings[: len(flags)]
    kind = pa.float64() if as_float else pa.int64()
    table = pa.table({"flag": pa.array(flags).cast(pa.int8()).cast(kind), "rating": ratings})
    pairs = list(zip(flags, ratings, strict=True))
    for expression, truth in [
        ("flag", lambda flag, rating: flag),
        ("not flag", lambda flag, rating: not flag),
        ("rating > 3 & ~flag", lambda flag, rating: rating > 3 and not flag),
        ("flag and flag + rating > 3 or flag == 0", lambda flag, rating: not flag or flag + rating > 3),
    ]:
        expected = [flag is not None and bool(truth(flag, rating)) for flag, rating in pairs]
        assert positives(table, expression).tolist() == expected, expression


def test_a_constant_beyond_64_bits_is_refused():
    with pytest.raises(ConfigError, match=r"data.positive: 9223372036854775808 in .* no whole number of 64 bits"):
        positives(TABLE, "item_id == 9223372036854775808")


def test_a_label_is_the_default():
    assert positives(pa.table({"label": [0, 1, 1]}), None).tolist() == [False, True, True]


def test_names_the_nearest_column():
    with pytest.raises(ConfigError, match=r"interactions has no column 'ratng', did you mean 'rating'\?"):
        positives(TABLE, "ratng >= 4")


def test_names_the_columns_where_none_is_near():
    with pytest.raises(ConfigError, match=rf"no column 'zz'; it has {', '.join(TABLE.column_names)} \(zz > 1\)"):
        positives(TABLE, "zz > 1")


def test_a_column_with_a_space_in_its_name_needs_another_name():
    with pytest.raises(ConfigError, match="cannot read 'my rating > 1'.*data.columns"):
        positives(TABLE, "my rating > 1")


@pytest.mark.parametrize(
    "expression",
    ["__import__('os').system('true')", "rating.__class__ == 1", "[r for r in rating]", "rating[0] > 1", "@rating > 1"],
)
def test_refuses_anything_but_columns_and_constants(expression):
    with pytest.raises(ConfigError, match="data.positive"):
        positives(TABLE, expression)


def test_refuses_what_gives_no_truth_value():
    with pytest.raises(ConfigError, match="does not give true or false for each row"):
        positives(TABLE, "rating + 1")


def test_names_types_that_do_not_compare():
    with pytest.raises(DataError, match="cannot be applied to interactions .*'event': 'string'"):
        positives(TABLE, "event * 1.5 >= 4")


@pytest.mark.parametrize("sign", ["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
@pytest.mark.parametrize("turned", [False, True])
def test_text_is_not_compared_with_numbers(sign, turned):
    for column, value, what, remedy in [
        ("event", "4", r"event \(string\) with the number 4", r"its type, since not all are numbers"),
        ("event", "-4.5", r"event \(string\) with the number -4.5", "a value of its type"),
        ("event", "True", r"event \(string\) with the number True", "a value of its type"),
        ("rating", "'4'", r"rating \(int\) with the text '4'", r"true and false are 1 and 0.*types: \{rating: text\}"),
        ("tags", "'a'", r"tags \(list_string\) with the text 'a'", "take it out of the expression"),
    ]:
        value = (
            f"['buy', {value}, 3]" if "in" in sign and column == "event" else f"[{value}]" if "in" in sign else value
        )
        sides = (value, column) if turned and "in" not in sign else (column, value)
        with pytest.raises(DataError, match=rf"^data\.positive: .* compares interactions\.{what}.*; .*{remedy}"):
            positives(TABLE.append_column("tags", [[["a"]] * 4]), f"rating > 1 & {sides[0]} {sign} {sides[1]}")


def test_columns_of_text_and_numbers_are_not_compared():
    with pytest.raises(
        DataError, match=r"data.label: .* interactions.rating \(int\) with interactions.event \(string\)"
    ):
        with_label(TABLE, "item_id > 1 and not rating != event")


@pytest.mark.parametrize(
    "expression", ["event != None", "event == ['buy', 'view']", "(rating > 3) == True", "1 < rating < 9"]
)
def test_values_of_one_kind_are_compared(expression):
    assert positives(TABLE, expression).any()


def test_makes_a_label():
    table = with_label(TABLE, "rating >= 4")
    assert table["label"].to_pylist() == [1, 0, 0, 1]
    assert positives(table, None).tolist() == [True, False, False, True]
    assert with_label(TABLE, None) is TABLE


def test_a_label_is_not_replaced():
    with pytest.raises(ConfigError, match="data.label: interactions has a column 'label' already, 'rating >= 4'"):
        with_label(pa.table({"label": [0, 1], "rating": [4, 5]}), "rating >= 4")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("ratng >= 4", "data.label: interactions has no column 'ratng', did you mean 'rating'"),
        ("rating + 1", "data.label: 'rating . 1' does not give true or false"),
        ("rating[0] > 1", "data.label: Subscript in"),
    ],
)
def test_errors_name_the_key_of_the_label(expression, message):
    with pytest.raises(ConfigError, match=message):
        with_label(TABLE, expression)
