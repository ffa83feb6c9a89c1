"""What Triton answers: the same as the executor, alone or together, ids of numbers or text."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.server.server import TritonServer

USERS = list(range(100, 120))


def column(values, dtype):
    return np.array(values, dtype=dtype).reshape(-1, 1)


def offline(executor, users, dtype="int64", **more):
    """(ids, scores, propensities) without padding, for each user."""
    columns = {"user_id": column(users, dtype), **more}
    got = executor(columns)
    keep = got["propensities"] > 0
    names = ("item_ids", "scores", "propensities")
    return [tuple(got[name][row][keep[row]].tolist() for name in names) for row in range(len(users))]


def served(answers):
    """The same of the client's answers."""
    return [
        tuple([getattr(item, name) for item in answer.items] for name in ("item_id", "score", "propensity"))
        for answer in answers
    ]


def test_served_equals_offline(repository, client):
    executor = Executor.load(repository / "cascade" / "1")
    users = [*USERS, 5, 6]
    hour = column([20] * len(users), "int64")
    expected = offline(executor, users, hour=hour, temperature=column([0] * len(users), "float32"))
    assert served(client.recommend(users, context={"hour": 20}, temperature=0)) == expected
    assert all(len(ids) == 6 for ids, *_ in expected)


def test_sampling_is_repeatable_and_equals_offline(repository, client):
    executor = Executor.load(repository / "cascade" / "1")
    more = {"temperature": column([0.7] * 20, "float32"), "seed": column([3] * 20, "int64")}
    more["top_k"] = column([12] * 20, "int32")
    answers = client.recommend(USERS, temperature=0.7, seed=3, top_k=12)
    assert served(answers) == offline(executor, USERS, **more)
    assert any(item.propensity < 1 for answer in answers for item in answer.items)


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.5, "seed": 9, "top_k": 12}])
def test_one_call_of_64_users_equals_64_calls_of_one(client, settings):
    users = [(100 + at) if at % 4 else at for at in range(64)]
    together = client.recommend(users, **settings)
    assert served(together) == [served(client.recommend([user], **settings))[0] for user in users]


def test_requests_at_once_each_get_their_own_answer(server):
    alone = {}
    with Client(server.grpc_url) as client:
        for user in USERS:
            alone[user, 3], alone[user, 7] = served(
                client.recommend([user], top_k=3) + client.recommend([user], top_k=7)
            )

    def ask(at):
        user, top_k = USERS[at % 20], (3, 7)[at % 2]
        with Client(server.grpc_url) as client:
            return (user, top_k), served(client.recommend([user], top_k=top_k))[0]

    with ThreadPoolExecutor(16) as pool:
        for key, answer in pool.map(ask, range(200)):
            assert answer == alone[key]


def test_an_answer_says_where_it_comes_from(client, server):
    known, unknown = client.recommend([101, 7], top_k=2)
    assert (known.user_id, known.reasons, known.release) == (101, [], "0123456789ab")
    assert unknown.reasons == ["unknown_user"]
    assert list(known.stages_ms)[2:] == [
        "encode_query", "retrieve", "drop_seen", "lookup_items", "rank", "order", "respond"
    ]  # fmt: skip
    assert all(took >= 0 for took in known.stages_ms.values())
    assert server.release == known.release


def test_excluded_items_do_not_come(client):
    (before,) = client.recommend([101])
    gone = [item.item_id for item in before.items[:3]]
    (after,) = client.recommend([101], exclude=gone)
    assert not set(gone) & {item.item_id for item in after.items}
    assert len(after.items) == 6


def test_padding_is_dropped_where_users_have_fewer_items(client):
    excluded = list(range(1000, 1028))  # of 30 items
    for answer in client.recommend([100, 7], top_k=12, exclude=excluded):
        assert len(answer.items) <= 2
        assert "fewer_items" in answer.reasons


def test_text_that_holds_a_number_is_as_good(client):
    assert served(client.recommend(["101"], context={"hour": "20"})) == served(
        client.recommend([101], context={"hour": 20})
    )
    assert client.recommend(["101"])[0].user_id == 101


def test_ids_of_text(string_repository, free, nothing_left):
    executor = Executor.load(string_repository / "cascade" / "1")
    users = ["u100", "u119", "nobody", "日本"]
    with (
        TritonServer(string_repository, "cascade", feature_repo=string_repository, config=free) as server,
        Client(server.grpc_url) as client,
    ):
        answers = client.recommend(users)
        assert served(answers) == offline(executor, users, "object")
        assert [answer.reasons for answer in answers] == [[], [], ["unknown_user"], ["unknown_user"]]
        (one,) = client.recommend(["u101"], exclude=[answers[0].items[0].item_id, "no such item"])
        assert all(item.item_id.startswith("i10") for item in one.items)


def test_no_server_says_how_to_start_one():
    with Client("127.0.0.1:9") as client, pytest.raises(ServerError, match="127.0.0.1:9.*cascade serve"):
        client.recommend([1])


def test_a_model_that_is_not_served_is_named(server):
    match = "no model 'other' is served, but cascade;"
    with Client(server.grpc_url, "other") as client, pytest.raises(ServerError, match=match):
        client.recommend([1])
