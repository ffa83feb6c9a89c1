"""The expressions of positives and labels."""

import operator
import re
from operator import add, itemgetter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.data.expressions import holds, names_in, positives, with_label
from cascade.workflows.sources.types import reader_of
from cascade.workflows.tables.canonical import canonical

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
    table = with_label(TABLE, "rating != None and rating >= 4")
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


# A plain reading of expressions in three-valued logic, from the tables of truth: None is null.
ROW = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-3, 3),
        "f": st.none() | st.sampled_from([-1.5, 0.0, 0.1, 0.7, 2.0]),
        "t": st.none() | st.sampled_from(["", "a", "b"]),
        "flag": st.none() | st.integers(0, 1),
    }
)
SIGNS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
NUMBERS = [("n", itemgetter("n")), ("f", itemgetter("f")), ("(n + f)", lambda row: lifted(add, row["n"], row["f"])),
           ("(n / n)", lambda row: None if not row["n"] else 1.0), ("2", lambda row: 2), ("-0.7", lambda row: -0.7),
           ("0.1", lambda row: 0.1)]  # fmt: skip
TEXTS = [("t", itemgetter("t")), ("'a'", lambda row: "a"), ("'b'", lambda row: "b")]


def lifted(function, *values):
    return None if None in values else function(*values)


def joined_by_and(left, right):
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def opposite(value):
    return None if value is None else not value


def either(left, right):
    return opposite(joined_by_and(opposite(left), opposite(right)))


@st.composite
def comparisons(draw):
    """The text of a comparison, and what it is for a row."""
    operands = draw(st.sampled_from([NUMBERS, TEXTS]))
    (left, of_left), (right, of_right) = (draw(st.sampled_from(operands)) for _ in range(2))
    form = draw(st.sampled_from(["sign", "list", "null", "flag", "chain"]))
    if form == "flag":
        return "flag", lambda row: None if row["flag"] is None else row["flag"] == 1
    if form == "null":
        no = draw(st.booleans())
        return f"{left} {'!=' if no else '=='} None", lambda row: (of_left(row) is None) != no
    if form == "list":
        members, no = [(right, of_right), ("None", None)][: draw(st.integers(0, 2))], draw(st.booleans())
        found = f"{left} {'not in' if no else 'in'} [{', '.join(text for text, _ in members)}]"

        def among(row):
            value = False
            for _, of in members:
                equal = of_left(row) is None if of is None else lifted(operator.eq, of_left(row), of(row))
                value = either(value, equal)
            return opposite(value) if no else value

        return found, among
    signs = [draw(st.sampled_from(list(SIGNS))) for _ in range(2)]

    def compared(row):
        return lifted(SIGNS[signs[0]], of_left(row), of_right(row))

    if form == "sign":
        return f"{left} {signs[0]} {right}", compared
    return f"{left} {signs[0]} {right} {signs[1]} {left}", lambda row: joined_by_and(
        compared(row), lifted(SIGNS[signs[1]], of_right(row), of_left(row))
    )


def combined(parts):
    def pair(text, join):
        return st.tuples(parts, parts).map(
            lambda two: (f"({two[0][0]}) {text} ({two[1][0]})", lambda row: join(two[0][1](row), two[1][1](row)))
        )

    negated = st.tuples(st.sampled_from(["not ", "~"]), parts).map(
        lambda two: (f"{two[0]}({two[1][0]})", lambda row: opposite(two[1][1](row)))
    )
    return pair("and", joined_by_and) | pair("&", joined_by_and) | pair("or", either) | pair("|", either) | negated


@given(st.lists(ROW, min_size=1, max_size=6), st.recursive(comparisons(), combined, max_leaves=5))
@settings(max_examples=200, deadline=None)
def test_nulls_are_neither_true_nor_false(rows, expression):
    text, value = expression
    kinds = pa.schema([("n", pa.int64()), ("f", pa.float64()), ("t", pa.string()), ("flag", pa.int64())])
    table, expected = pa.Table.from_pylist(rows, kinds), [value(row) for row in rows]
    try:
        assert holds(table, text, "data.positive").to_pylist() == expected
    except ConfigError as error:  # constants alone
        assert "does not give true or false" in str(error) and not names_in(text)
        return
    assert positives(table, text).tolist() == [each is True for each in expected]
    if None not in expected:
        assert with_label(table, text)["label"].to_pylist() == expected
        return
    with pytest.raises(DataError, match=f"^data.label, row {expected.index(None)}: .*neither true nor false") as raised:
        with_label(table, text)
    for advice, meaning in zip(re.findall('(?:are:|0,) "(.*?)" makes them', str(raised.value)), [0, 1], strict=False):
        whole = [row for row in rows if "n / n" not in text or row["n"]]
        kept = pa.Table.from_pylist(whole, kinds)
        lacking = [any(row[name] is None for name in names_in(text)) for row in whole]
        labels = with_label(kept, advice)["label"].to_pylist()
        assert all(label == meaning for label, lacks in zip(labels, lacking, strict=True) if lacks)


def test_one_known_side_decides():
    table = pa.table({"event": ["purchase", "view", "view"], "stars": pa.array([None, 5, 2], pa.int64())})
    assert positives(table, "event == 'purchase' or stars >= 4").tolist() == [True, True, False]
    assert positives(table, "not (event == 'view' and stars < 4)").tolist() == [True, True, False]
    assert positives(table, "stars == None or stars > 3").tolist() == [True, True, False]


@pytest.mark.parametrize("expression", ["event in rating", "rating < None", "['buy'] < event", "event in 'buy'"])
def test_names_what_compares_with_nothing(expression):
    with pytest.raises(DataError, match="cannot be applied to interactions|are never equal"):
        positives(TABLE, expression)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()])
def test_short_floats_are_the_numbers_that_they_are_written_as(kind):
    share = pa.array(np.array([0.7, 0.1, 0.9], kind.to_pandas_dtype()), kind)
    table = canonical(pa.table({"share": share}), "interactions")
    assert positives(table, "share >= 0.7").tolist() == [True, False, True]
    assert positives(table, "share in [0.1, 0.9]").tolist() == [False, True, True]
    assert reader_of(pa.float64())(share).to_pylist() == [0.7, 0.1, 0.9]  # beside float64 in another file
