"""Arms of a whole model, through Triton's interface: the fused model, and the steps of an ensemble."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from triton_steps import STAND_IN, Request, Steps, read_config, start
from waiting import wait_until

from cascade.core.errors import ServerError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.protocol.assignment import Assignment
from cascade.ensemble.protocol.serving_file import ArmAddress, Beside
from cascade.ensemble.protocol.wire import decode_text
from cascade.ensemble.triton import model as fused_model
from cascade.testing.miniature import SERVING, miniature_repository


class Fused:
    """The fused model ``cascade`` in a repository, with the interface of `Steps`."""

    def __init__(self, repository):
        self.outputs = {entry.name for entry in read_config(repository / "cascade").output}
        self.models = {"cascade": start(repository / "cascade", of=fused_model)}

    def __call__(self, *requests):
        answers = self.models["cascade"].execute([Request(request, self.outputs) for request in requests])
        return [answer.error or answer.outputs for answer in answers]

    def close(self):
        self.models["cascade"].finalize()


class Arm:
    """In place of `Link`: another release, whose item ids are larger by 5000."""

    made, works, asked = [], True, []
    executor = None

    def __init__(self, url, model, timeout_s):
        assert (url, model) == ("there", "cascade")
        self.closed = False
        self.made.append(self)

    def ask(self, columns):
        if not Arm.works:
            raise ServerError("gone")
        self.asked.append(set(columns))
        outputs, times = Arm.executor.run(columns)
        items = outputs["item_ids"]
        rows = (len(items), 1)
        return outputs | {
            "item_ids": np.where(items < 0, -1, items + 5000),
            "release": np.full(rows, "other", object),
            "stages_ms": np.full((len(items), len(times)), 2.0, np.float32),
        }

    def close(self):
        pass


@pytest.fixture(scope="module", params=["fused", "ensemble"])
def model(request, tmp_path_factory):
    repository = tmp_path_factory.mktemp(request.param) / "models"
    miniature_repository(repository, serving=SERVING.model_copy(update={"layout": request.param, "arm_input": True}))
    Arm.executor = Executor.load(repository / "cascade" / "1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", STAND_IN)
        patch.setattr("cascade.ensemble.triton.arms.beside.Link", Arm)
        made = (Fused if request.param == "fused" else Steps)(repository)
        yield made
        made.close()


@contextmanager
def asking(model, beside):
    """All processes of the model are told so, as by the file that they read."""
    Arm.made.clear()
    Arm.asked.clear()
    for process in model.models.values():
        process.follow(beside)
    yield
    for process in model.models.values():
        process.follow(Beside())


def canary(share, salt="pepper"):
    return Beside(salt, (ArmAddress("canary", "other", share, "there"),))


def counted(model, name, **labels):
    values = [process.beside.values() for process in model.models.values()]
    wanted = set(labels.items())
    return sum(value for each in values for (of, own), value in each.items() if of == name and wanted <= set(own))


def column(values, dtype=np.int64):
    return np.array(values, dtype).reshape(len(values), -1)


@st.composite
def requests(draw):
    rows = draw(st.lists(st.integers(95, 125), min_size=1, max_size=5))

    def each(values):
        return [draw(values) for _ in rows]

    request = {"user_id": column(rows)}
    if draw(st.booleans()):
        request["top_k"] = column(each(st.integers(1, 12)), np.int32)
    if draw(st.booleans()):
        request["exclude_items"] = column(each(st.lists(st.integers(1000, 1029), min_size=3, max_size=3)))
    if draw(st.booleans()):
        request["hour"] = column(each(st.integers(0, 23)))
    if draw(st.booleans()):
        request["temperature"] = column([0.5] * len(rows), np.float32)
        request["seed"] = column(each(st.integers(0, 9)))
    if draw(st.booleans()):
        names = each(st.sampled_from([b"", b"stable", b"canary"]))
        request["ask_arm"] = np.array(names, object).reshape(-1, 1)
    return request


@given(
    asked=st.lists(requests(), min_size=1, max_size=4),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    salt=st.text(min_size=1, max_size=3),
    works=st.booleans(),
)
def test_any_mixture_of_arms_gets_what_each_user_gets_alone(model, asked, share, salt, works):
    assignment = Assignment(salt, [("canary", share)])
    with asking(model, canary(share, salt)):
        Arm.works = works
        answers = model(*asked)
        Arm.works = True
    for request, answer in zip(asked, answers, strict=True):
        forced = request.get("ask_arm", np.full((len(request["user_id"]), 1), b"", object))[:, 0]
        inputs = {name: array for name, array in request.items() if name != "ask_arm"}
        top_k = request.get("top_k", np.full((len(forced), 1), 6))[:, 0]
        texts = {name: decode_text(name, answer[name])[:, 0] for name in ("reasons", "release", "arm")}
        for row, own in enumerate(top_k.tolist()):
            name = {b"stable": 0, b"canary": 1}.get(forced[row], assignment.arms(request["user_id"][:, 0])[row])
            by_arm = bool(name) and works
            alone = Arm.executor({name: array[row : row + 1] for name, array in inputs.items()})
            items = alone["item_ids"][0] + 5000 * by_arm * (alone["item_ids"][0] >= 0)
            assert answer["item_ids"][row].tolist() == [*items, *[-1] * (top_k.max() - own)]
            for part in ("scores", "propensities"):
                assert answer[part][row].tolist() == [*alone[part][0], *[0.0] * (top_k.max() - own)]
            assert texts["arm"][row] == ("canary" if by_arm else "stable")
            assert texts["release"][row] == ("other" if by_arm else "0123456789ab")
            why = [alone["reasons"][0, 0]] if alone["reasons"][0, 0] else []
            assert texts["reasons"][row] == ",".join([*why, *["canary_unavailable"] * (bool(name) and not works)])


def test_one_process_asks_and_with_the_inputs_that_were_sent(model):
    with asking(model, canary(1.0)):
        model({"user_id": column([101, 102])})
        assert Arm.asked == [{"user_id"}]
        assert len(Arm.made) == 1
        assert sum(process.beside._pool is not None for process in model.models.values()) == 1


def test_an_arm_that_is_not_there_is_refused_and_the_others_are_answered(model):
    with asking(model, canary(0.0)):
        good, bad = ({"user_id": column([101]), "ask_arm": column([name], object)} for name in (b"canary", b"other"))
        first, refused, last = model(good, bad, good)
    assert (refused.code, refused.message) == (
        "INVALID_ARG",
        "ask_arm: expected one of stable, canary, or nothing, got 'other'",
    )
    assert first["arm"].tolist() == last["arm"].tolist() == [[b"canary"]]


def test_each_arm_is_counted_where_the_answers_are_made(model):
    before = counted(model, "recsys_arm_users_total", arm="canary")
    with asking(model, canary(0.5)):
        [answer] = model({"user_id": column(list(range(100, 120)))})
    own = int((answer["arm"] == b"canary").sum())
    assert 0 < own < 20
    assert counted(model, "recsys_arm_users_total", arm="canary", release="other") - before == own


def test_the_stable_release_is_timed_from_the_first_step_on(model):
    name = "recsys_arm_latency_seconds_sum"
    before = counted(model, name, arm="stable")
    with asking(model, canary(0.0)):
        [answer] = model({"user_id": column([101])})
    assert 1000 * (counted(model, name, arm="stable") - before) >= float(answer["stages_ms"].sum()) * 0.999


def test_a_shadow_is_asked_what_the_client_asked_and_stages_are_compared(model):
    with asking(model, Beside("pepper", shadows=(ArmAddress("shadow", "other", 1.0, "there"),))):
        model({"user_id": column([101, 102]), "top_k": column([3, 4], np.int32)})
        wait_until(lambda: counted(model, "recsys_shadow_requests_total", outcome="answered") == 1)
        wait_until(lambda: counted(model, "recsys_shadow_users_total") == 2)
        assert Arm.asked == [{"user_id", "top_k"}]
        wait_until(lambda: counted(model, "recsys_shadow_stage_seconds_total", by="shadow", stage="rank") > 0)
        stages = len(Arm.executor.stages)
        assert counted(model, "recsys_shadow_stage_seconds_total", by="shadow") == pytest.approx(0.002 * stages)
        assert counted(model, "recsys_shadow_top_score_change_sum") == 0


def test_an_arm_answers_its_users_whatever_a_shadow_is_called(model):
    arm, shadow = ArmAddress("new", "other", 1.0, "there"), ArmAddress("new", "third", 1.0, None)
    with asking(model, Beside("pepper", (arm,), (shadow,))):
        (answer,) = model({"user_id": column([101])})
    assert decode_text("release", answer["release"]).tolist() == [["other"]]
