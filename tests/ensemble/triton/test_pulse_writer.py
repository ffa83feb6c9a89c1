"""What a model process says of itself."""

import os
import threading

import pytest
from waiting import HANG_S, wait_until

from cascade.ensemble.protocol.pulse import PULSE_FILES, Pulse, pulse_files
from cascade.ensemble.triton.pulse_writer import PulseWriter


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    monkeypatch.setenv(PULSE_FILES, str(tmp_path / "pulse_"))
    return str(tmp_path / "pulse_")


@pytest.fixture
def writer(prefix):
    made = PulseWriter("shop-3_0", interval=0.01)
    made.start()
    yield made
    made.stop()


def pulse(prefix):
    [(_, instance, file)] = pulse_files(prefix)
    assert instance == "shop-3_0"
    return Pulse.read(file)


def test_it_beats_from_the_start_and_says_when_the_model_is_ready(writer, prefix):
    first = pulse(prefix)
    assert not first.ready
    wait_until(lambda: pulse(prefix).beats > first.beats + 2, 0.01)
    writer.ready()
    assert pulse(prefix).ready


def test_a_pass_is_under_way_until_it_ends_even_with_an_error(writer, prefix):
    with pytest.raises(ValueError), writer.working():
        wait_until(lambda: pulse(prefix).begun > pulse(prefix).done, 0.01)
        begun = pulse(prefix).begun
        writer.next_part()
        wait_until(lambda: pulse(prefix).begun == begun + 1 > pulse(prefix).done, 0.01)
        raise ValueError
    wait_until(lambda: pulse(prefix).begun == pulse(prefix).done, 0.01)


def test_nothing_is_left_of_it(writer, prefix):
    writer.stop()
    assert pulse_files(prefix) == []


def test_without_a_place_it_does_nothing(monkeypatch):
    monkeypatch.delenv(PULSE_FILES, raising=False)
    writer = PulseWriter("shop-3_0")
    writer.start()
    with writer.working():
        writer.ready()
    writer.stop()


def test_a_process_ends_when_its_server_is_killed(writer, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    assert not ended.wait(0.1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert ended.wait(HANG_S)
