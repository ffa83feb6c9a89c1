"""Releases, and the parts that belong together."""

from dataclasses import replace
from pathlib import Path

import pytest

from cascade.core.artifact import Artifact
from cascade.core.errors import ArtifactError
from cascade.ensemble.repository.release import make_release


def parts():
    """Artifacts with their digests and the digests of their parents."""
    parents = {"data": [], "etl": ["data"], "two_tower": ["etl"], "index": ["etl", "two_tower"]}
    digest = {stage: f"{at}" * 64 for at, stage in enumerate(parents)}
    return {
        stage: Artifact(Path(stage), stage, digest[stage], {parent: digest[parent] for parent in made_from})
        for stage, made_from in parents.items()
    }


def release(made, **settings):
    return make_release(made, model="cascade", pipeline="shop", settings=settings, notices=["no GPU"])


def test_pins_every_part_by_digest():
    got = release(parts())
    assert got.parts["index"] == "3" * 64 and list(got.parts) == ["data", "etl", "index", "two_tower"]
    assert len(got.release) == 12 and got.notices == ("no GPU",)


def test_id_follows_from_parts_and_settings():
    first, other = parts(), parts()
    other["index"] = replace(other["index"], digest="9" * 64)
    ids = {release(first).release, release(other).release, release(first, topk=5).release}
    assert len(ids) == 3
    assert release(parts()).release == release(parts()).release


def test_an_index_of_another_tower_is_refused():
    made = parts()
    made["two_tower"] = replace(made["two_tower"], digest="8" * 64)
    with pytest.raises(ArtifactError, match=r"index: was made from two_tower 2{12}, the release holds two_tower 8{12}"):
        release(made)


def test_a_part_whose_parent_is_not_in_the_release_is_refused():
    made = parts()
    del made["etl"]
    with pytest.raises(ArtifactError, match="two_tower: was made from etl 1{12}, which the release lacks"):
        release(made)


def test_a_part_of_another_kind_is_refused():
    made = parts()
    made["index"] = replace(made["index"], kind="ranker")
    with pytest.raises(ArtifactError, match="index: expected an artifact of kind 'index', got 'ranker'"):
        release(made)
