"""Big files are linked, small ones copied."""

import errno
import os

import pytest

from cascade.core.files import LINK_FROM, place


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "nodes").mkdir(parents=True)
    (source / "nodes" / "vectors.npy").write_bytes(b"v" * LINK_FROM)
    (source / "config").write_bytes(b"c" * (LINK_FROM - 1))
    return source


def test_big_files_are_one_on_disk_and_small_ones_are_not(folder, tmp_path):
    target = tmp_path / "target"
    place(folder, target)
    assert (target / "nodes" / "vectors.npy").samefile(folder / "nodes" / "vectors.npy")
    assert not (target / "config").samefile(folder / "config")
    assert (target / "config").read_bytes() == (folder / "config").read_bytes()


def test_a_small_file_that_is_edited_stays_as_it_was_at_the_other_place(folder, tmp_path):
    place(folder / "config", tmp_path / "config")
    (tmp_path / "config").write_text("edited")
    assert (folder / "config").read_bytes()[:1] == b"c"


def test_removing_one_leaves_the_other(folder, tmp_path):
    source = folder / "nodes" / "vectors.npy"
    place(source, tmp_path / "linked")
    source.unlink()
    assert (tmp_path / "linked").read_bytes() == b"v" * LINK_FROM


def test_a_link_is_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "nodes" / "vectors.npy")
    place(tmp_path / "link", tmp_path / "target")
    assert not (tmp_path / "target").is_symlink()


def test_another_file_system_gets_a_copy(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    place(folder, tmp_path / "target")
    copied = tmp_path / "target" / "nodes" / "vectors.npy"
    assert not copied.samefile(folder / "nodes" / "vectors.npy")
    assert copied.read_bytes() == b"v" * LINK_FROM


def test_what_is_there_is_not_overwritten_and_what_is_missing_is_named(folder, tmp_path):
    (tmp_path / "target").write_text("there")
    with pytest.raises(FileExistsError):
        place(folder / "nodes" / "vectors.npy", tmp_path / "target")
    with pytest.raises(FileNotFoundError, match="gone"):
        place(folder / "gone", tmp_path / "new")
