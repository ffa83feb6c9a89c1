"""The prober, with a server that answers what a test wants."""

import pytest

from cascade.core.errors import RequestError, ServerError
from cascade.ensemble.protocol.call_errors import OVERLOADED, NoAnswerError
from cascade.ensemble.server.prober import Prober


class Control:
    is_live = is_ready = True
    answer = None

    def live(self):
        return self.is_live

    def ready(self):
        return self.is_ready

    def probe(self):
        if self.answer is not None:
            raise self.answer
        return "release"


@pytest.mark.parametrize(
    ("answer", "answered"),
    [
        (None, True),
        (RequestError("user_id: expected ..."), True),
        (ServerError(f"overloaded: {OVERLOADED} (6)"), True),
        (ServerError("Stub process 'shop-0_0' is not healthy."), False),
        (NoAnswerError("no answer in time"), False),
    ],
)
def test_a_refusal_is_an_answer_and_a_failure_is_none(answer, answered):
    control = Control()
    prober = Prober(control, lambda: None)
    control.answer = answer
    prober.look()
    assert prober.answered == answered and not prober.hung


def test_it_hangs_after_several_looks_in_a_row_without_an_answer():
    control = Control()
    prober = Prober(control, lambda: None)
    prober.look()
    control.is_live = False
    for _ in range(4):
        prober.look()
        assert not prober.hung and not prober.answered
    control.is_live = True
    prober.look()
    control.is_live = False
    for _ in range(5):
        prober.look()
    assert prober.hung


def test_a_model_that_is_gone_is_reported():
    control, gone = Control(), []
    prober = Prober(control, lambda: gone.append(1))
    control.is_ready = False
    prober.look()
    assert gone == [1] and not prober.answered
