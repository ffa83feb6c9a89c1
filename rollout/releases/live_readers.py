"""What the releases that may answer at any moment read of the feature store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ...core.errors import CascadeError, ReleaseError
from ...core.files import read_json
from ...ensemble.config import ExportConfig
from ...ensemble.graph.graph_file import damage_named
from ...ensemble.graph.ops import LookupUser
from ...ensemble.protocol.release_names import GRAPH
from ...workflows.config import FeatureStoreConfig
from ...workflows.features.readers import KEPT, SERVED, StoreReader
from ...workflows.features.spec import PROFILE
from .live_set import LiveSets
from .release_files import version_folder
from .servers import answering
from .store import ReleaseStore

log = logging.getLogger(__name__)


def live_readers(export: ExportConfig, section: FeatureStoreConfig) -> list[StoreReader]:
    """What each release of the live set, and each that a server has, reads of the store of ``section``.

    If the live set is damaged, every release that is kept counts as live. What a damaged release reads is not known,
    which a line of the log says.
    """
    store = ReleaseStore(Path(export.repository), export.model_name)
    found = []
    for release, role in _live(store).items():
        try:
            found.append(store_reader(store, release, role, section))
        except CascadeError as error:
            log.warning("release %s (%s): what it reads of the feature store is not known: %s", release, role, error)
    return [reader for reader in found if reader is not None]


def store_reader(store: ReleaseStore, release: str, role: str, section: FeatureStoreConfig) -> StoreReader | None:
    """What a release reads of the store of ``section``; None if it reads another one, or none.

    Raises:
        CascadeError: it is not kept, or damaged.
    """
    version = version_folder(store.folder(release) / store.model)
    with damage_named(version):
        nodes = [node for node in read_json(version / GRAPH)["nodes"] if node["op"] == LookupUser.kind]
        lookups = [LookupUser(**node["params"]) for node in nodes]
    here = (users for users in lookups if (users.project, users.online) == (section.project, section.online))
    return next((reader_of(users, release, role) for users in here), None)


def reader_of(users: LookupUser, release: str, role: str) -> StoreReader:
    """What a release reads whose graph has the step ``users``."""
    return StoreReader(
        release,
        role,
        {"user_id": users.user_kind, "item_id": users.item_kind},
        users.columns,
        profile=PROFILE in users.views,
        seen=users.seen,
        times=users.times > 0,
    )


def _live(store: ReleaseStore) -> Mapping[str, str]:
    """Id of each release that may answer at any moment -> its role."""
    served = dict.fromkeys(answering(store.repository, store.model), SERVED)
    try:
        live = LiveSets(store.repository, store.model).checked()
    except ReleaseError as error:
        log.warning("the features stay readable for every kept release, as it is not known which are live: %s", error)
        return {**{kept.id: KEPT for kept in store.releases()}, **served}
    if live is None:
        return served
    arms = {arm.release: arm.name for arm in (*live.shadows, *live.arms)}
    previous = {live.previous: "previous"} if live.previous else {}
    return {**served, **previous, **arms, live.stable: "stable"}
