"""Letting go of mapped pages: they leave the process's memory, and are read again as they were."""

import numpy as np

from cascade.rollout.gates.mapped_pages import _held, let_go

MEGABYTES = 64


def test_pages_that_were_read_are_let_go_and_read_again(tmp_path):
    values = np.arange(MEGABYTES << 17)
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    total = mapped.sum()
    before = _held()
    let_go(most=before)
    assert _held() > before - (1 << 20)
    let_go(most=0)
    assert _held() < before - (MEGABYTES << 19)
    assert mapped.sum() == total and (mapped == values).all()


def test_what_is_mapped_to_write_is_not_lost(tmp_path):
    private = np.memmap(tmp_path / "y", np.int64, "w+", shape=1 << 16)
    private.flush()
    own = np.memmap(tmp_path / "y", np.int64, "c", shape=1 << 16)
    own[:] = 7
    let_go(most=0)
    assert (own == 7).all() and (np.fromfile(tmp_path / "y", np.int64) == 0).all()
