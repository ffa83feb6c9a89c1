"""Files that are linked or copied, exchanged, written at once; the cache folder."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from cascade.core.errors import ArtifactError, ConfigError
from cascade.core.files import (
    LINK_FROM,
    cache_folder,
    can_be_written,
    exchange,
    link_or_copy,
    made_in_cache,
    owned_folder,
    read_json,
    write_text,
)
from cascade.workflows.sources.cache import cached


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "nodes").mkdir(parents=True)
    (source / "nodes" / "vectors.npy").write_bytes(b"v" * LINK_FROM)
    (source / "config").write_bytes(b"c" * (LINK_FROM - 1))
    return source


def test_large_files_are_linked_and_small_ones_copied(folder, tmp_path):
    target = tmp_path / "target"
    link_or_copy(folder, target)
    assert (target / "nodes" / "vectors.npy").samefile(folder / "nodes" / "vectors.npy")
    assert not (target / "config").samefile(folder / "config")
    modes = [stat.S_IMODE((target / name).stat().st_mode) & 0o222 for name in ("nodes/vectors.npy", "config")]
    assert modes[0] == 0 and modes[1] != 0  # whoever wrote into the link would change both
    assert (target / "config").read_bytes() == (folder / "config").read_bytes()


def test_editing_a_small_file_does_not_change_the_original(folder, tmp_path):
    link_or_copy(folder / "config", tmp_path / "config")
    (tmp_path / "config").write_text("edited")
    assert (folder / "config").read_bytes()[:1] == b"c"


def test_removing_one_leaves_the_other(folder, tmp_path):
    source = folder / "nodes" / "vectors.npy"
    link_or_copy(source, tmp_path / "linked")
    source.unlink()
    assert (tmp_path / "linked").read_bytes() == b"v" * LINK_FROM


def test_a_link_is_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "nodes" / "vectors.npy")
    link_or_copy(tmp_path / "link", tmp_path / "target")
    assert not (tmp_path / "target").is_symlink()


def test_another_file_system_gets_a_copy(folder, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(folder, tmp_path / "target")
    copied = tmp_path / "target" / "nodes" / "vectors.npy"
    assert not copied.samefile(folder / "nodes" / "vectors.npy")
    assert copied.read_bytes() == b"v" * LINK_FROM


def test_an_existing_target_is_not_overwritten_and_a_missing_source_is_named(folder, tmp_path):
    (tmp_path / "target").write_text("old")
    with pytest.raises(FileExistsError):
        link_or_copy(folder / "nodes" / "vectors.npy", tmp_path / "target")
    with pytest.raises(FileNotFoundError, match="gone"):
        link_or_copy(folder / "gone", tmp_path / "new")


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("CASCADE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "cascade"


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    """Neither a folder below a file, nor one that only others may write to."""
    (tmp_path / "file").touch()
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed)
    for folder in (tmp_path / "file" / "cache", closed / "a" / "b", closed):
        assert not can_be_written(folder)
        with pytest.raises(ConfigError, match=f"^{folder}: cannot be written; set CASCADE_CACHE"):
            made_in_cache(folder)
    assert made_in_cache(tmp_path / "a" / "b").is_dir() and not (closed / "a").exists()


def test_a_download_into_a_cache_that_cannot_be_written_says_so_before_it_begins(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CASCADE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match="set CASCADE_CACHE"):
        cached("x.zip", None, lambda aside: pytest.fail("was fetched"))


def test_json_that_is_cut_off_or_missing_is_named(tmp_path):
    file = tmp_path / "tables.json"
    with pytest.raises(ArtifactError, match="tables.json: is missing; delete its folder, and run `cascade run`"):
        read_json(file)
    for content in (b"", b"{", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(ArtifactError, match="tables.json: damaged .*; delete its folder, and run `cascade run`"):
            read_json(file)


def test_two_folders_are_exchanged(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "a", tmp_path / "b") and (tmp_path / "a" / "b").exists()
    assert not exchange(tmp_path / "a", tmp_path / "missing") and (tmp_path / "a" / "b").exists()


def test_a_text_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    write_text(tmp_path / "x", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "x", "\udcff")
    assert [file.name for file in tmp_path.iterdir()] == ["x"] and (tmp_path / "x").read_text() == "old"


def test_a_folder_of_a_killed_process_goes_when_the_next_one_is_made(tmp_path):
    program = f"""
from pathlib import Path
from cascade.core.files import owned_folder
import time
folder = owned_folder("toy", Path({str(tmp_path)!r}))
print(folder.path, flush=True)
time.sleep(900)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        theirs = other.stdout.readline().strip()
        mine = owned_folder("toy", tmp_path)
        lives = os.path.isdir(theirs)
        other.kill()
    assert lives
    later = owned_folder("toy", tmp_path)
    assert not os.path.exists(theirs) and mine.path.is_dir()
    assert mine.path.stat().st_mode & 0o077 == 0
    for folder in (mine, later):
        folder.remove()
    assert list(tmp_path.iterdir()) == []
