"""The mapped table of strings compared with a dict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.transforms import text_tables
from cascade.workflows.transforms.lookup_tables import codes_for, load_codes
from cascade.workflows.transforms.text_tables import MappedTextCodes, TextCodes

ANY = st.one_of(st.text(), st.text(st.sampled_from("ab\0"), max_size=3), st.text(st.characters(), max_size=2))


def looked_up(codes, values):
    return codes(np.array([values], object), 1, 2)[0].tolist()


@pytest.mark.slow
@given(st.lists(ANY, unique=True, max_size=30), st.lists(st.one_of(st.none(), ANY), max_size=10))
def test_is_a_dict(tmp_path_factory, known, asked):
    folder = tmp_path_factory.mktemp("codes")
    MappedTextCodes.build(known, np.arange(3, 3 + len(known))).save(folder, "text")
    table = {value: code for code, value in enumerate(known, 3)}
    expected = [1 if value is None else table.get(value, 2) for value in [*asked, *known]]
    got = load_codes(folder, "text")
    assert isinstance(got, MappedTextCodes)
    assert looked_up(got, [*asked, *known]) == expected


def test_lone_surrogates_are_ordinary_values():
    codes = MappedTextCodes.build(["\ud800", "a"], np.array([3, 4]))
    assert looked_up(codes, ["\ud800", "\ud801", "a"]) == [3, 2, 4]


def test_strings_of_one_slot_are_told_apart():
    """With two strings in four slots many strings share a slot, but none is mistaken for another."""
    codes = MappedTextCodes.build(["x", "y"], np.array([3, 4]))
    assert looked_up(codes, [f"{n}" for n in range(1000)]) == [2] * 1000
    assert looked_up(codes, ["y", "x"]) == [4, 3]


def test_hundred_thousand_strings_are_mapped(tmp_path):
    values = [f"user-{n}" for n in range(text_tables.MAPPED_FROM)]
    assert isinstance(codes_for(values[1:], np.arange(1, len(values))), TextCodes)
    codes_for(values, np.arange(len(values))).save(tmp_path, "user_id")
    codes = load_codes(tmp_path, "user_id")
    assert looked_up(codes, values) == list(range(len(values)))
    assert looked_up(codes, ["user-", "user-100000", "", None]) == [2, 2, 2, 1]
    assert all(isinstance(table.base, np.memmap) for table in vars(codes).values())


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_values(shape):
    assert MappedTextCodes.build(["a"], np.array([3]))(np.empty(shape, object), 1, 2).shape == shape
