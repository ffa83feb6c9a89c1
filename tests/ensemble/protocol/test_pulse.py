"""The files in which model processes write their pulses."""

import os

from hypothesis import given
from hypothesis import strategies as st

from cascade.ensemble.protocol.pulse import Pulse, pulse_file, pulse_files

counts = st.integers(0, 2**62)


@given(st.builds(Pulse, counts, st.booleans(), counts, counts))
def test_a_pulse_is_read_as_it_was_written(tmp_path_factory, pulse):
    path = tmp_path_factory.mktemp("pulse") / "file"
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    for _ in range(2):  # it is written over and over again
        pulse.write(file)
        assert Pulse.read(path) == pulse
    os.close(file)


def test_what_is_missing_or_half_written_is_none(tmp_path):
    assert Pulse.read(tmp_path / "none") is None
    (tmp_path / "half").write_bytes(b"12345")
    assert Pulse.read(tmp_path / "half") is None


def test_the_files_of_one_server_are_found_and_no_others(tmp_path):
    prefix = str(tmp_path / "cascade_1_ab_pulse_")
    for pid, instance in ((7, "shop-0_0"), (8, "shop.v2-1_0")):
        pulse_file(prefix, pid, instance).touch()
    for other in ("cascade_1_ab_region", "cascade_2_cd_pulse_9.shop-0_0", "cascade_1_ab_pulse_x.shop", "unrelated"):
        (tmp_path / other).touch()
    assert {(pid, instance, file.name) for pid, instance, file in pulse_files(prefix)} == {
        (7, "shop-0_0", "cascade_1_ab_pulse_7.shop-0_0"),
        (8, "shop.v2-1_0", "cascade_1_ab_pulse_8.shop.v2-1_0"),
    }
