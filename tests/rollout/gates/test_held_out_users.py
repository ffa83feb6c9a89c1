"""The users of a finished pipeline's test part, whom a kept release is asked."""

from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.repository.golden import Golden
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.served import ServedReleases
from cascade.rollout.gates.users import HeldOutUsers
from cascade.rollout.gates.verify import verify
from cascade.rollout.releases.release_files import version_folder
from cascade.rollout.releases.store import ReleaseStore

pytestmark = pytest.mark.slow

CONFIG = GatesConfig(min_users=100, min_slice_users=20, max_latency_ratio=20)


@pytest.fixture
def store(shop) -> ReleaseStore:
    return ReleaseStore(shop.model_repository, shop.config.export.model_name)


@pytest.fixture
def release(store) -> str:
    return store.published()


def test_the_users_are_those_with_a_positive_in_the_test_part(shop, store, release) -> None:
    users = HeldOutUsers.of(store, release, shop.runs, shop.config.evaluation, CONFIG)
    executor = users.load(version_folder(store.folder(release) / store.model))
    requests = users.requests({spec.name: spec.spec for spec in executor.inputs})
    log = ds.dataset(shop.artifacts["data"].path / "interactions").to_table().to_pandas()
    taken = log[(log.split == "test") & (log.positive > 0)]
    asked = requests.columns["user_id"][:, 0]
    pairs = set(zip(asked[requests.owners].tolist(), requests.items.tolist(), strict=True))
    assert pairs == set(zip(taken.user_id, taken.item_id, strict=True))
    assert sorted(asked.tolist()) == sorted(taken.user_id.unique().tolist())
    head, tail = requests.slices["head items"], requests.slices["tail items"]
    assert np.array_equal(head, ~tail) and head.any() and tail.any()


def test_a_release_that_was_just_made_passes(shop, store, release) -> None:
    users = HeldOutUsers.of(store, release, shop.runs, shop.config.evaluation, CONFIG)
    report = verify(store, release, None, CONFIG, users)
    assert report.state == "pass", report.verdicts


def test_without_the_artifacts_there_are_no_users(shop, store, release, tmp_path: Path) -> None:
    users = HeldOutUsers.of(store, release, tmp_path, shop.config.evaluation, CONFIG)
    with pytest.raises(ArtifactError, match="no held-out users; .* name the folder with --runs"):
        users.requests({})
    report = verify(store, release, None, CONFIG, users)
    assert report.state == "inconclusive" and report.of("fail") == []


def test_a_server_that_is_started_for_it_answers_as_offline(shop, store, release) -> None:
    golden = Golden.load(version_folder(store.folder(release) / store.model))
    assert golden is not None and len(golden.recorded) == shop.config.export.golden_requests
    verdict = ServedReleases(store, shop.feature_repo, start=True).verdict(release, golden, CONFIG)
    assert verdict is not None and verdict.state == "pass", verdict
    assert verdict.figures == {"asked": shop.config.export.golden_requests, "differ": 0}
