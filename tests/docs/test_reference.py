"""The configuration reference: every key has a sentence and an example that the config takes."""

import re
import sys
from typing import Annotated

import pytest
import yaml
from pydantic import TypeAdapter
from shipping import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from docs_config import Key, keys, pages  # noqa: E402
from docs_types import default_text, type_text  # noqa: E402

from cascade.core.registry import register  # noqa: E402


class BlockList:
    """Stands for an op of another package."""

    kind = "block_list"


KEYS = list(keys())
VALUES = [key for key in KEYS if key.section is None]


def test_there_are_keys_of_every_depth() -> None:
    names = [key.name for key in KEYS]
    assert {"schema.dense", "two_tower.user_tower.history.kind", "dlrm_ranker.labels.<label>.serve"} <= set(names)
    assert len(names) == len(set(names)) > 150


def test_every_key_has_a_sentence() -> None:
    assert [key.name for key in KEYS if len(key.sentence.split()) < 2 or not key.sentence.endswith(".")] == []


def test_every_value_has_an_example() -> None:
    assert [key.name for key in VALUES if not key.example] == []


@pytest.mark.parametrize("key", VALUES, ids=lambda key: key.name)
def test_the_example_is_a_value_that_the_key_takes(key: Key) -> None:
    register("metric", "hit_rate", len, replace=True)
    register("op", "block_list", BlockList, replace=True)
    value = yaml.safe_load(key.example)
    adapter = TypeAdapter(
        Annotated[key.info.annotation, *key.info.metadata] if key.info.metadata else key.info.annotation
    )
    adapter.validate_python(value)


@pytest.mark.parametrize("key", VALUES, ids=lambda key: key.name)
def test_the_example_is_not_the_default(key: Key) -> None:
    if default_text(key.info).strip("`") == key.example:
        assert type_text(key.info).count("`") == 2, "the only value that there is"


def test_every_key_is_on_a_page() -> None:
    written = pages()
    text = "\n".join(written.values())
    for key in VALUES:
        anchor = re.sub(r"[<>\[\]]", "", key.name)
        assert f"#{anchor} }}" in text or key.name == "tune", key.name
        assert f"[`{key.name}`](" in written["reference/configuration/index.md"]


def test_types_and_units_are_said() -> None:
    page = pages()["reference/configuration/two_tower.md"]
    assert "number, at least 0 · default `5` · unit: minutes" in page
    assert "one of `in_batch`, `mixed`" in page or "one of `in_batch`, `hard`" in page
