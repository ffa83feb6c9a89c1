"""Errors of keys that may hold values of several types."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from cascade.config.errors import explain
from cascade.config.load import config_with_origins
from cascade.core.errors import ConfigError
from cascade.core.section import Section

MEMBERS = re.compile(r"\.(str|int|float|bool|dict|list|literal|Inner|constrained)\b|\[str,|\[int\]")


class Inner(Section):
    size: int = 1


class Odd(Section):
    plain: int = 1
    maybe: int | None = None
    names: dict[str, str | dict[str, str]] = {}
    width: Literal["auto"] | int = 1
    sizes: list[int | list[int]] = []
    some: Annotated[int, Field(ge=1)] | Inner | None = None
    inner: Inner | None = None


class Whole(BaseModel):
    odd: Odd = Odd()


def lines_of(odd: Any) -> list[str]:
    with pytest.raises(ValidationError) as error:
        Whole.model_validate({"odd": odd})
    return explain(error.value, Whole, {}).splitlines()


@pytest.mark.parametrize(
    ("odd", "lines"),
    [
        ({"names": {"a": None}}, ["odd.names.a: is None, should be a valid string or a mapping of keys"]),
        ({"names": {"items": {"str": 5}}}, ["odd.names.items.str: is 5, should be a valid string"]),
        ({"width": "x"}, ["odd.width: is 'x', should be 'auto' or a valid integer, unable to parse string as an inte"]),
        ({"sizes": [1, "x"]}, ["odd.sizes[1]: is 'x', should be a valid integer, unable to parse"]),
        ({"sizes": [[1, "x"]]}, ["odd.sizes[0][1]: is 'x', should be a valid integer"]),
        ({"some": 0}, ["odd.some: is 0, should be greater than or equal to 1 or a mapping of keys"]),
        ({"some": {"sise": 1}}, ["odd.some.sise: no such key; "]),
        ({"inner": {"size": "x"}, "plain": "y"}, ["odd.plain: is 'y'", "odd.inner.size: is 'x'"]),
    ],
)
def test_each_key_has_a_line_of_its_own(odd: Any, lines: list[str]) -> None:
    found = lines_of(odd)
    assert len(found) == len(lines), found
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["x", "auto", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "size"]), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(Odd.model_fields)), values, max_size=4))
def test_no_line_has_a_name_of_pydantics_and_no_key_two_lines(odd: dict[str, Any]) -> None:
    try:
        Whole.model_validate({"odd": odd})
    except ValidationError as error:
        keys = [line.split(": ")[0] for line in explain(error, Whole, {}).splitlines()]
        assert len(set(keys)) == len(keys)
        assert not [key for key in keys if MEMBERS.search(key)]


def test_a_column_without_a_name(tmp_path: Any) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("schema: {sparse: [user_id, item_id]}\n")
    with pytest.raises(ConfigError) as error:
        config_with_origins(file, ["data.columns.timestamp=null"])
    assert str(error.value) == (
        "data.columns.timestamp: is None, should be a valid string or a mapping of keys (--set)"
    )
