"""Faults between the data and a served request of a finished pipeline; each is found in the columns that it spoils."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from served_rows import KEY, served_rows

from cascade.core.signature import Columns
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import LookupUser
from cascade.ensemble.graph.ops.base import Op
from cascade.ensemble.graph.recorded_users import lookup_of, with_users
from cascade.ensemble.repository.user_lookup import reading_artifact
from cascade.evaluation.served_graph import feature_repo_at
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.skew import skew_verdict
from cascade.rollout.skew.counts import FEATURES, STORE, SkewCounts, count_skew
from cascade.rollout.skew.offline import OfflineUsers

pytestmark = pytest.mark.slow

RELEASE = "abc"
COUNT = 200
CONFIG = GatesConfig()


@pytest.fixture(scope="module")
def world(shop) -> SimpleNamespace:
    """The release of a shop, its users as the store has them after a publication, and 200 requests."""
    parts = shop.artifacts
    with feature_repo_at(shop.feature_repo):
        executor = Executor.load(shop.version_folder)
    lookup = lookup_of(executor)
    assert isinstance(lookup, LookupUser)
    offline = OfflineUsers.of(parts["data"], parts["etl"], parts["features"])
    users = offline.user_ids[:COUNT][:, None]
    rng = np.random.default_rng(0)
    contexts = {
        spec.name: rng.choice(["a", "b", None], (len(users), 1)).astype(object)
        if spec.dtype == "object"
        else rng.integers(1, 9, (len(users), 1)).astype(spec.dtype)
        for spec in executor.inputs
        if spec.name in served_context(executor)
    }
    columns = {"user_id": users, **contexts}
    return SimpleNamespace(executor=executor, lookup=lookup, offline=offline, columns=columns, etl=parts["etl"].path)


def served_context(executor: Executor) -> list[str]:
    known = ("user_id", "exclude_items", "top_k", "temperature", "seed")
    return [spec.name for spec in executor.inputs if spec.name not in known]


@dataclasses.dataclass
class Spoiled(Op):
    """A step that looks users up, and gives something else."""

    lookup: Op
    spoil: Callable[[dict[str, Any]], dict[str, Any]]
    kind = "spoiled"

    @property
    def reads(self):
        return self.lookup.reads

    @property
    def writes(self):
        return self.lookup.writes

    def __call__(self, columns: Columns) -> Columns:
        return self.spoil(dict(self.lookup(columns)))


def count(
    world: SimpleNamespace, executor: Executor | None = None, at: float = 1.0, release: str = RELEASE
) -> SkewCounts:
    """Requests ``at`` seconds after the log ends, minus 1; served by ``executor``."""
    served = executor or world.executor
    rows = served_rows(served, world.columns, world.offline.cut + at - 1, release)
    assert len(rows) == COUNT
    return count_skew(rows, KEY, RELEASE, served, world.offline, world.etl)


def differing(counts: SkewCounts) -> set[tuple[str, str]]:
    """Columns that differ in more requests than the config allows."""
    return {name for name, number in counts.differ.items() if number > CONFIG.max_skew * counts.compared[name[0]]}


def test_without_a_fault_no_column_differs(world) -> None:
    counts = count(world)
    assert not differing(counts), counts
    assert counts.compared == {STORE: COUNT, FEATURES: COUNT} and counts.later == counts.unknown == 0
    profile = {name for name in world.lookup.columns}
    assert {name for part, name in counts.differ if part == STORE} == {*profile, "history_ids", "rejected_ids"}
    features = {name for part, name in counts.differ if part == FEATURES}
    assert features >= {"user_id", "history"} and len(features) > len(profile)
    assert skew_verdict(counts, world.offline.cut, CONFIG).state == "pass"


def test_requests_after_the_end_of_the_log_are_not_compared_with_the_store(world) -> None:
    counts = count(world, at=2.0)
    assert counts.compared == {STORE: 0, FEATURES: COUNT} and counts.later == COUNT
    verdict = skew_verdict(counts, world.offline.cut, CONFIG)
    assert (
        verdict.state == "pass" and "could not be compared: of 200 requests 200 came after the log ends" in verdict.text
    )


def test_the_history_is_that_before_the_request(world) -> None:
    """A day before the end, users had fewer events than the store has now; nobody had any at the beginning."""
    day = count(world, at=-86_400.0)
    assert differing(day) == {(STORE, "history_ids")}
    first = count(world, at=1.0 - world.offline.cut)
    with_history = sum(1 for row in served_rows(world.executor, world.columns, 0.0, RELEASE) if row.raw["history_ids"])
    assert first.differ[STORE, "history_ids"] == with_history > 0


def test_swapped_columns_are_found(world) -> None:
    one, other = "history_ids", "rejected_ids"

    def swap(columns: dict[str, Any]) -> dict[str, Any]:
        return {**columns, one: columns[other], other: columns[one]}

    counts = count(world, with_users(world.executor, Spoiled(world.lookup, swap)))
    assert differing(counts) == {(STORE, one), (STORE, other)}
    assert counts.differ[STORE, one] == counts.differ[STORE, other]
    verdict = skew_verdict(counts, world.offline.cut, CONFIG)
    assert verdict.state == "fail" and f"store {one} " in verdict.text and f"store {other} " in verdict.text


def test_a_stale_store_is_found(shop, world) -> None:
    """It was not published again after the test part."""
    old = reading_artifact(world.lookup, shop.artifacts["features"].path)
    assert differing(count(world, with_users(world.executor, old))) == {(STORE, "history_ids")}


def test_another_default_of_the_store_is_found(world) -> None:
    name = next(name for name, kind in world.lookup.columns.items() if kind == "string")

    def default(columns: dict[str, Any]) -> dict[str, Any]:
        spoiled = columns[name].copy()
        spoiled[::10] = None
        return {**columns, name: spoiled}

    counts = count(world, with_users(world.executor, Spoiled(world.lookup, default)))
    assert differing(counts) == {(STORE, name)} and counts.differ[STORE, name] == COUNT / 10


def spoiled_transform(executor: Executor, spoil: Callable[[Any], None]) -> Executor:
    """The graph with a transform of its own, changed by ``spoil``."""
    ops = {node.name: node.op for node in executor.nodes}
    name = next(name for name, op in ops.items() if op.kind == "transform")
    own = ops[name].__class__(**ops[name].params())
    own.__dict__ |= {key: value for key, value in vars(ops[name]).items() if key.startswith("_")}
    spoil(own)
    return Executor(executor.inputs, {**ops, name: own}, executor.outputs, max_users=executor.max_users)


def another(name: str, change: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A feature has other values: ``change`` gets those of a pass."""

    def spoil(transform: Any) -> None:
        compute, raws = transform._features[name]
        transform._features = {**transform._features, name: (lambda columns: change(compute(columns)), raws)}

    return spoil


@pytest.mark.parametrize("release", [RELEASE, "that of another day"])
def test_another_vocabulary_is_found_in_the_feature_alone(world, release: str) -> None:
    """Of what the release has served, and of what it would make of requests that another release has answered."""
    served = spoiled_transform(world.executor, another("user_id", lambda codes: codes[::-1].copy()))
    counts = count(world, served, release=release)
    assert differing(counts) == {(FEATURES, "user_id")} and counts.differ[FEATURES, "user_id"] == COUNT
    verdict = skew_verdict(counts, world.offline.cut, CONFIG)
    assert verdict.state == "fail" and "features user_id 100.0%" in verdict.text


def test_another_scale_is_found(world) -> None:
    transform = next(node.op for node in world.executor.nodes if node.op.kind == "transform")
    name = next(each["name"] for each in transform.features if each["kind"] == "continuous")
    served = spoiled_transform(world.executor, another(name, lambda values: values + 1))
    assert differing(count(world, served)) == {(FEATURES, name)}
