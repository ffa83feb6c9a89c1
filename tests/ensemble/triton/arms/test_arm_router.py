"""Users of several arms in one call: each gets what its arm's release would answer to it alone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import HANG_S

from cascade.core.errors import RequestError, ServerError
from cascade.ensemble.protocol.assignment import Assignment
from cascade.ensemble.protocol.inputs import Input
from cascade.ensemble.protocol.request_batching import RequestBatcher, split
from cascade.ensemble.protocol.serving_file import ArmAddress, Beside
from cascade.ensemble.triton.arms.beside import AskedBeside
from cascade.ensemble.triton.arms.counts import ArmCounters
from cascade.ensemble.triton.arms.joined_call import JoinedCalls
from cascade.ensemble.triton.arms.router import ArmRouter, CheckedRequest

INPUTS = [
    Input("user_id", "int64", required=True),
    Input("top_k", "int32", default=2, minimum=1, maximum=9),
    Input("exclude_items", "int64", ("E",)),
]
BATCHER = RequestBatcher(INPUTS, max_users=8)
WIDE = frozenset({"item_ids", "scores"})
NUMBER = {"stable": 0, "canary": 1, "b": 2, "c": 3}
CODE = 1000
"""What the steps before the last one of an ensemble make of user 0; user 1 is one less, and so on."""


def run(arm, columns):
    """The outputs of the release of an arm: items 1000 * arm + user + place, without those that are excluded."""
    users, top_k = columns["user_id"][:, 0].tolist(), columns["top_k"][:, 0].tolist()
    items = np.full((len(users), max(top_k)), -1, np.int64)
    scores = np.zeros(items.shape, np.float32)
    for row, (user, k, gone) in enumerate(zip(users, top_k, columns["exclude_items"].tolist(), strict=True)):
        shown = [item for item in range(1000 * NUMBER[arm] + user, 1000 * NUMBER[arm] + user + k) if item not in gone]
        items[row, : len(shown)], scores[row, : len(shown)] = shown, 0.5
    fewer = [-1 in row[:k] for row, k in zip(items.tolist(), top_k, strict=True)]
    text = np.array([["fewer_items" if less else ""] for less in fewer], object)
    names = {"release": f"r-{arm}", "arm": "stable"}
    return {"item_ids": items, "scores": scores, "reasons": text} | {
        name: np.full((len(users), 1), value, object) for name, value in names.items()
    }


class Arm:
    """In place of `Link`."""

    def __init__(self, name, works=True):
        self.name, self.works, self.closed, self.calls = name, works, False, 0

    def ask(self, columns):
        self.calls += 1
        if not self.works:
            raise ServerError("gone")
        return run(self.name, BATCHER.join([columns], [len(columns["user_id"])]))

    def close(self):
        pass


def stable(requests):
    """The own pass of a fused model, and of the last step of an ensemble."""
    users = [entry.users for entry in requests]
    columns = BATCHER.join([entry.columns for entry in requests], users)
    if any(entry.columns is not entry.asked for entry in requests):
        columns["user_id"] = CODE - columns["user_id"]
    return list(split(run("stable", columns), users, WIDE, columns["top_k"]))


def router(shares, links, salt="pepper", counts=None):
    beside = Beside(salt, tuple(ArmAddress(name, f"r-{name}", share, "there") for name, share in shares.items()))
    return ArmRouter(beside, links, ThreadPoolExecutor(2), counts or ArmCounters(), JoinedCalls(BATCHER, WIDE))


def request(users, top_k=None, exclude=None, arm=None):
    columns = {"user_id": np.array(users, np.int64).reshape(-1, 1)}
    if top_k is not None:
        columns["top_k"] = np.array(top_k, np.int32).reshape(-1, 1)
    if exclude is not None:
        columns["exclude_items"] = np.array(exclude, np.int64).reshape(len(users), -1)
    asked = None if arm is None else np.array(arm, object).reshape(-1, 1)
    return CheckedRequest(None, columns, columns, len(users), asked)


def at_last_step(entry):
    """A request as the last step of an ensemble has it: codes and defaults, beside the inputs that were sent."""
    columns = BATCHER.join([entry.columns], [entry.users])
    columns["user_id"] = CODE - columns["user_id"]
    return replace(entry, columns=columns, before_s=1.0)


@st.composite
def requests(draw):
    users = draw(st.lists(st.integers(0, 50), min_size=1, max_size=6))
    k = draw(st.none() | st.lists(st.integers(1, 5), min_size=len(users), max_size=len(users)))
    gone = draw(st.none() | st.lists(st.integers(0, 3), min_size=len(users), max_size=len(users)))
    exclude = None if gone is None else [[user + NUMBER["b"] * 1000 + at] for user, at in zip(users, gone, strict=True)]
    names = st.sampled_from(["", "", "stable", *NUMBER])
    return request(users, k, exclude, draw(st.none() | st.lists(names, min_size=len(users), max_size=len(users))))


@settings(max_examples=150, deadline=None)
@given(
    asked=st.lists(requests(), min_size=1, max_size=5),
    shares=st.sampled_from(
        [{"canary": 0.5}, {"b": 0.3, "c": 0.6}, {"canary": 0.0}, {"b": 0.3, "canary": 0.2, "c": 0.5}]
    ),
    down=st.sets(st.sampled_from(["canary", "b", "c"]), max_size=2),
    salt=st.text(min_size=1, max_size=3),
    layout=st.sampled_from(["fused", "ensemble"]),
)
def test_each_user_gets_what_its_arm_answers_it_alone(asked, shares, down, salt, layout):
    asked = asked if layout == "fused" else [at_last_step(entry) for entry in asked]
    links = {name: None if name == "c" and name in down else Arm(name, name not in down) for name in shares}
    assignment = Assignment(salt, list(shares.items()))
    answers = router(shares, links, salt).answer(asked, stable)
    assert len(answers) == len(asked)
    for entry, answer in zip(asked, answers, strict=True):
        top_k = entry.asked.get("top_k", np.full((entry.users, 1), 2, np.int32))
        assert {name: array.shape for name, array in answer.items()} == {
            **dict.fromkeys(("item_ids", "scores"), (entry.users, int(top_k.max()))),
            **dict.fromkeys(("reasons", "release", "arm"), (entry.users, 1)),
        }
        for row in range(entry.users):
            arm = assignment.names[assignment.arms(entry.asked["user_id"])[row, 0]]
            if entry.arm is not None and entry.arm[row, 0] in assignment.names:
                arm = entry.arm[row, 0]
            alone = {name: array[row : row + 1] for name, array in entry.asked.items()}
            by = "stable" if arm in down else arm
            expected = run(by, BATCHER.join([alone], [1]))
            own = int(top_k[row, 0])
            assert answer["item_ids"][row, :own].tolist() == expected["item_ids"][0].tolist()
            assert answer["item_ids"][row, own:].tolist() == [-1] * (int(top_k.max()) - own)
            assert answer["scores"][row, own:].tolist() == [0.0] * (int(top_k.max()) - own)
            assert (answer["arm"][row, 0], answer["release"][row, 0]) == (by, f"r-{by}")
            why = [expected["reasons"][0, 0]] if expected["reasons"][0, 0] else []
            if arm in down:
                why.append("canary_unavailable" if arm == "canary" else "arm_unavailable")
            assert answer["reasons"][row, 0] == ",".join(why)


def test_users_of_an_arm_are_asked_for_in_one_call_and_counted():
    arm, counts = Arm("canary"), ArmCounters()
    asked = [request([1, 2]), request([3])]
    answers = router({"canary": 1.0}, {"canary": arm}, counts=counts).answer(asked, stable)
    assert arm.calls == 1
    filled = sum(float((answer["item_ids"] >= 0).mean(axis=1).sum()) for answer in answers)
    found = {name: value for (name, labels), value in counts.values().items() if ("arm", "canary") in labels}
    assert found["recsys_arm_users_total"] == 3 and found["recsys_arm_items_total"] == 6
    assert found["recsys_arm_filled_places_total"] == filled > 0
    assert found["recsys_arm_top_score_total"] == 1.5 and found["recsys_arm_top_score_squares_total"] == 0.75
    assert found["recsys_arm_latency_seconds_count"] == 1 and found["recsys_arm_empty_users_total"] == 0


def test_a_probe_of_the_server_is_no_user_of_an_arm():
    arm, counts = Arm("canary"), ArmCounters()
    probe = replace(request([1]), probe=True)
    [answer] = router({"canary": 1.0}, {"canary": arm}, counts=counts).answer([probe], stable)
    assert answer["arm"][0, 0] == "stable" and arm.calls == 0 and not counts.values()


def test_the_stable_release_took_as_long_as_all_steps_together():
    """Else the users of a canary, who are asked for from the first step to the last, would seem to wait much longer."""
    counts = ArmCounters()
    router({"canary": 0.0}, {"canary": Arm("canary")}, counts=counts).answer([at_last_step(request([1, 2]))], stable)
    labels = ("arm", "stable"), ("release", "r-stable")
    assert 1.0 < counts.values()["recsys_arm_latency_seconds_sum", labels] < 1.0 + HANG_S


def test_what_an_arm_that_is_down_did_not_answer_is_counted_as_its_own():
    counts = ArmCounters()
    router({"canary": 1.0}, {"canary": None}, counts=counts).answer([request([1, 2])], stable)
    labels = ("arm", "canary"), ("release", "r-canary")
    assert dict(counts.values()) == {("recsys_arm_unavailable_users_total", labels): 2}


@pytest.mark.parametrize("error", [ServerError("gone"), ValueError("closed"), KeyError("reasons")])
def test_whatever_goes_wrong_with_an_arm_costs_nobody_an_answer(error):
    class Broken(Arm):
        def ask(self, columns):
            raise error

    [answer] = router({"canary": 1.0}, {"canary": Broken("canary")}).answer([request([1, 2])], stable)
    assert answer["arm"][:, 0].tolist() == ["stable"] * 2
    assert answer["reasons"][:, 0].tolist() == ["canary_unavailable"] * 2


def test_an_error_of_the_stable_release_is_the_request_s():
    def fails(requests):
        return [
            RequestError("user_id: bad") if 7 in entry.columns["user_id"] else stable([entry])[0] for entry in requests
        ]

    one, other = router({"canary": 0.5}, {"canary": Arm("canary", works=False)}).answer(
        [request([6, 7, 8]), request([6])], fails
    )
    assert isinstance(one, RequestError) and other["item_ids"].shape == (1, 2)


@pytest.fixture
def beside(monkeypatch):
    monkeypatch.setattr("cascade.ensemble.triton.arms.beside.Link", lambda url, model, timeout_s: Arm(url))
    made = AskedBeside("shop", BATCHER, WIDE, [])
    yield made
    made.stop()


def test_who_is_asked_follows_what_the_server_says(beside):
    asked = [request(list(range(8)))]
    assert {*beside.answer(asked, stable)[0]["arm"][:, 0]} == {"stable"}
    beside.follow(Beside("pepper", (ArmAddress("canary", "r", 0.5, None),)))
    assert {*beside.answer(asked, stable)[0]["reasons"][:, 0]} == {"", "canary_unavailable"}
    beside.follow(Beside("pepper", (ArmAddress("canary", "r", 0.5, "canary"),)))
    assert {*beside.answer(asked, stable)[0]["arm"][:, 0]} == {"stable", "canary"}
    beside.follow(Beside())
    assert {*beside.answer(asked, stable)[0]["arm"][:, 0]} == {"stable"}


def test_an_arm_that_is_asked_for_must_be_there(beside):
    beside.check(np.array([["stable"], [""]], object), 2)
    with pytest.raises(RequestError, match="ask_arm: expected one of stable, or nothing, got 'canary'"):
        beside.check(np.array([["canary"]], object), 1)
    beside.follow(Beside("pepper", (ArmAddress("canary", "r", 0.5, "canary"),)))
    beside.check(np.array([["canary"]], object), 1)
    with pytest.raises(RequestError, match="ask_arm: expected 2 rows, one for each user, got 1"):
        beside.check(np.array([["canary"]], object), 2)
    with pytest.raises(RequestError, match="ask_arm: expected object"):
        beside.check(np.array([[1]]), 1)
