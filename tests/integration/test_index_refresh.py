"""The items of a served release are renewed under load: no request fails, new items are shown, gone ones are not."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from waiting import HANG_S, wait_until

from cascade.bench.chaos.steady_load import Endpoint, SteadyLoad
from cascade.bench.swaps.checked_answers import CheckedClients, expected_answers
from cascade.bench.swaps.swap import version_folders
from cascade.ensemble.client import Client
from cascade.ensemble.protocol.assignment import Assignment
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.status import ServerStatus
from cascade.rollout.refresh.refresh import WantedItems, refresh
from cascade.rollout.releases.arms import start_canary
from cascade.rollout.releases.follow import Follower
from cascade.rollout.releases.promotion import promote, renew
from cascade.rollout.releases.store import ReleaseStore

USERS = list(range(1, 60))


@pytest.fixture
def store(shop, tmp_path):
    own = ReleaseStore(tmp_path / "models", "cascade")
    own.add(shop.artifacts["export"].path)
    return own


@pytest.fixture
def items(shop, tmp_path):
    """Ten items are gone; ten others have come, whose content is that of these."""
    table = pq.read_table(shop.artifacts["data"].path / "items.parquet")
    at, new = table.column_names.index("item_id"), table.slice(0, 10)
    new = new.set_column(at, "item_id", pa.array(range(9_000, 9_010)))
    pq.write_table(pa.concat_tables([table.slice(10), new]), tmp_path / "items.parquet")
    return WantedItems(items=tmp_path / "items.parquet")


def shown(answers):
    return {item.item_id for answer in answers.values() for item in answer.items}


def serving(store, first, shop, config):
    return TritonServer(
        store.repository,
        "cascade",
        feature_repo=shop.feature_repo,
        config=config,
        takes_hangup=True,
        first=store.folder(first),
    )


def test_a_refresh_under_load(shop, store, items, free, tmp_path, nothing_left):
    aside = ReleaseStore(tmp_path / "aside", "cascade")
    first = aside.add(shop.artifacts["export"].path)
    second = refresh(aside, first, items, shop.config.data).release
    expected = expected_answers(version_folders(aside, [first, second]), USERS, shop.feature_repo, None)
    gone = set(pq.read_table(shop.artifacts["data"].path / "items.parquet")["item_id"].to_pylist()[:10])
    assert shown(expected[second]) & set(range(9_000, 9_010)) and shown(expected[first]) & gone
    assert not shown(expected[second]) & gone

    config = free.model_copy(update={"instances": 2})
    with serving(store, first, shop, config) as server, Follower(server):
        clients = CheckedClients(server.grpc_url, "cascade", expected)
        with SteadyLoad(Endpoint(clients.connect, server.ready, lambda user: True), USERS, 40) as load:
            assert refresh(store, first, items, shop.config.data).release == second
            assert promote(store, second, "new items", HANG_S).whole
        sent = load.sent(0.0)
        assert len(sent) > 20 and [each.error for each in sent if each.error] == []
        with Client(server.grpc_url, timeout=HANG_S) as client:
            assert {answer.release for answer in client.recommend(USERS)} == {second}


def without(ids, file):
    pq.write_table(pa.table({"item_id": list(ids)}), file)
    return WantedItems(remove=file)


def test_an_item_that_is_taken_off_is_gone_from_the_stable_release_and_the_canary(
    shop, store, free, tmp_path, nothing_left
):
    data, aside = shop.config.data, ReleaseStore(tmp_path / "aside", "cascade")
    first = aside.add(shop.artifacts["export"].path)
    one_less = without(
        [pq.read_table(shop.artifacts["data"].path / "items.parquet")["item_id"][0].as_py()], tmp_path / "a.parquet"
    )
    canary = refresh(aside, first, one_less, data).release
    before = expected_answers(version_folders(aside, [first, canary]), USERS, shop.feature_repo, None)
    gone = sorted(shown(before[first]) & shown(before[canary]))[:3]
    recalled = without(gone, tmp_path / "b.parquet")
    after = [refresh(aside, each, recalled, data).release for each in (first, canary)]
    expected = expected_answers(version_folders(aside, [first, canary, *after]), USERS, shop.feature_repo, None)

    with serving(store, first, shop, free) as server, Follower(server):
        assert refresh(store, first, one_less, data).release == canary
        salt = start_canary(store, canary, 0.5, "try it").salt
        wait_until(lambda: ServerStatus.read(server.status_file).arms == {"canary": ""})
        clients = CheckedClients(server.grpc_url, "cascade", expected)
        with SteadyLoad(Endpoint(clients.connect, server.ready, lambda user: True), USERS, 20) as load:
            made = {each: refresh(store, each, recalled, data).release for each in (first, canary)}
            assert [*made.values()] == after
            assert renew(store, made, "recalled", HANG_S, with_previous=True).whole
            with Client(server.grpc_url, timeout=HANG_S) as client:
                wait_until(lambda: {answer.release for answer in client.recommend(USERS)} == set(after))
                answers = client.recommend(USERS)
        assert [each.error for each in load.sent(0.0) if each.error] == []
        assert not {item.item_id for answer in answers for item in answer.items} & set(gone)
        arms = Assignment(salt, [("canary", 0.5)]).arms(USERS)
        assert [answer.release for answer in answers] == [after[arm] for arm in arms]
