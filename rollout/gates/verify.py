"""`cascade release verify`: the files of a release, then all gates against the live release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.errors import ArtifactError, CascadeError, FeatureStoreError
from ...core.signature import Signature
from ...ensemble.graph.executor import Executor
from ...ensemble.repository.golden import Golden
from ...workflows.config import FeatureStoreConfig
from ...workflows.features.published import published_spec
from ...workflows.features.readers import lacking
from ...workflows.leaks.check import RESULT
from ..config import GatesConfig
from ..refresh.kept_release import taken_off
from ..releases.live_readers import store_reader
from ..releases.release_files import version_folder
from ..releases.store import ReleaseStore
from .compare import LOADED, compare
from .golden import golden_verdict
from .requests import HeldOutRequests
from .skew import sampled_verdict
from .verdict import GateReport, GateVerdict, judged

DIGESTS, LEAKS, LIVE, FEATURES = "digests", "leaks", "live release", "features"


class Served(Protocol):
    """Where releases are served, see `ServedReleases`."""

    def verdict(self, release: str, golden: Golden, config: GatesConfig) -> GateVerdict | None: ...


class Users(Protocol):
    """Who is asked, see `HeldOutUsers`."""

    def load(self, version: Path) -> Executor: ...

    def requests(self, inputs: Signature) -> HeldOutRequests: ...

    def find(self, stage: str) -> Artifact: ...


def verify(
    store: ReleaseStore,
    candidate: str,
    live: str | None,
    config: GatesConfig,
    users: Users,
    served: Served | None = None,
    features: FeatureStoreConfig | None = None,
) -> GateReport:
    """Judge a release.

    Args:
        candidate: its whole id.
        live: whole id of the release to compare with; None, or the candidate itself, for none.
        served: where it is asked as it is served; None to ask it offline only.
        features: the feature store that has to have what it reads; None to look at none.

    Raises:
        ReleaseError: one of the releases is not kept.
    """
    live = None if live == candidate else live
    for release in (candidate, live):
        if release is not None:
            store.folder(release)
    verdicts = [*_verdicts(store, candidate, live, config, users, served)]
    if features is not None and (verdict := _features_verdict(store, candidate, features)):
        verdicts.append(verdict)
    return GateReport(candidate, live, verdicts)


def _features_verdict(store: ReleaseStore, candidate: str, section: FeatureStoreConfig) -> GateVerdict | None:
    """Whether the feature store has what the release reads; None if it is not known, or it reads another store."""
    try:
        reader, published = store_reader(store, candidate, "candidate", section), published_spec(section)
    except CascadeError:
        return None
    if reader is None or published is None:
        return None
    faults = [f"it reads {text}" for text in lacking(published, reader)]
    if faults:
        faults.append("`cascade features materialize` with its config publishes its features")
    return judged(FEATURES, faults, "the feature store has what it reads", {})


def _verdicts(
    store: ReleaseStore, candidate: str, live: str | None, config: GatesConfig, users: Users, served: Served | None
) -> Iterator[GateVerdict]:
    try:
        store.verify(candidate)
    except ArtifactError as error:
        yield judged(DIGESTS, [str(error)], "", {})
        return
    yield judged(DIGESTS, [], "every file is as it was exported", {})
    try:
        ours = _load(store, candidate, users)
        golden = Golden.load(_version(store, candidate))
    except CascadeError as error:
        yield GateVerdict(LOADED, "fail", f"it cannot be loaded: {error}")
        return
    if golden is not None:
        yield golden_verdict(golden, ours, config)
        if served is not None and (verdict := served.verdict(candidate, golden, config)):
            yield verdict
    if verdict := sampled_verdict(store, candidate, ours, users, config):
        yield verdict
    theirs, requests, why_none = None, None, ""
    try:
        if live is not None:
            store.verify(live)  # a file that was cut off is not safe to ask
            theirs = _load(store, live, users)
    except FeatureStoreError as error:
        why = f"{live} cannot answer with the features of this release, so nothing is compared with it: {error}"
        yield GateVerdict(LIVE, "inconclusive", why)
    except CascadeError as error:
        yield GateVerdict(LIVE, "inconclusive", f"{live} is damaged, so nothing is compared with it: {error}")
    try:
        if users.find("data").metrics.get(RESULT) == 1:  # else the check is off in the config
            yield judged(LEAKS, [], "the check of the data stage found none", {})
        requests = users.requests(_inputs(ours) if theirs is None else {**_inputs(theirs), **_inputs(ours)})
    except CascadeError as error:
        why_none = str(error)
    gone, named = taken_off(version_folder(store.folder(candidate) / store.model))
    requests = requests and requests.without(gone)  # nobody can be shown what is not sold any more
    sizes = store.read(candidate).bytes, store.read(live).bytes if live else 0
    yield from compare(ours, theirs, requests, config, sizes, why_none, gone[named], _recalled(store, candidate, live))


def _recalled(store: ReleaseStore, candidate: str, live: str | None) -> NDArray[Any] | None:
    """Ids that operators took off the live release. Where that one itself was refreshed, its table has decided."""
    if live is None or (store.read(candidate).refreshed or {}).get("from") == live:
        return None
    gone, named = taken_off(version_folder(store.folder(live) / store.model))
    return gone[named]


def _load(store: ReleaseStore, release: str, users: Users) -> Executor:
    return users.load(_version(store, release))


def _version(store: ReleaseStore, release: str) -> Path:
    return version_folder(store.folder(release) / store.model)


def _inputs(executor: Executor) -> Signature:
    return {spec.name: spec.spec for spec in executor.inputs}
