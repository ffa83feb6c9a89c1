"""A disk that is full: what is mapped has its space, and every library's error becomes one line."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.artifact import write_artifact
from cascade.core.disk import check_space, disk_errors, new_array
from cascade.core.errors import ArtifactError, DiskError
from cascade.workflows.features.online import way_out

KIB = 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@given(st.lists(st.integers(0, 6), max_size=3), st.sampled_from(["int8", "float32", "<U5", "bool"]))
def test_a_new_array_is_an_npy_file_of_zeros(tmp_path_factory, shape, dtype) -> None:
    file = tmp_path_factory.mktemp("arrays") / "x.npy"
    array = new_array(file, dtype, shape)
    array.flush()
    found = np.load(file)
    assert found.shape == tuple(shape) and found.dtype == np.dtype(dtype)
    assert (found == np.zeros(shape, dtype)).all()


def test_an_array_has_its_space_when_it_is_mapped(small_disk: Path) -> None:
    """Without it, the disk could be full when a page is written first, which is a SIGBUS."""
    array = new_array(small_disk / "x.npy", "int8", (600 * KIB,))
    assert os.stat(small_disk / "x.npy").st_blocks * 512 >= 600 * KIB
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "other").write_bytes(bytes(600 * KIB))
    array[:] = 1
    assert int(np.load(small_disk / "x.npy").sum()) == 600 * KIB


def test_an_array_that_does_not_fit_is_refused_and_not_there(small_disk: Path) -> None:
    with pytest.raises(DiskError, match=r"disk/x.npy: needs 8.00 MB on disk, 1.05 MB are free: .*cascade clean"):
        new_array(small_disk / "x.npy", "float64", (1000, 1000))
    assert list(small_disk.iterdir()) == []


def test_an_array_that_others_leave_no_room_for_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskError, match=r"x.npy: needs 0.00 MB on disk: the disk is full"):
        new_array(tmp_path / "x.npy", "int8", (5,))
    assert not (tmp_path / "x.npy").exists()


def test_an_artifact_that_does_not_fit_leaves_nothing(small_disk: Path) -> None:
    def fill(folder: Path) -> None:
        for number in range(10):
            (folder / str(number)).write_bytes(bytes(300 * KIB))

    full = pytest.raises(
        DiskError, match=r"^stage etl: .*/disk: the disk is full, .* are free without what was half-written: free some"
    )
    with full, disk_errors("stage etl", small_disk):
        write_artifact(small_disk / "etl" / "x", "etl", {}, fill)
    assert list((small_disk / "etl").iterdir()) == []


def by_write(folder: Path) -> None:
    (folder / "x").write_bytes(bytes(2000 * KIB))


def by_numpy(folder: Path) -> None:
    np.save(folder / "x.npy", np.ones(2000 * KIB, np.int8))


def by_arrow(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": np.random.default_rng(0).random(400 * KIB)}), folder / "x.parquet")


def by_faiss(folder: Path) -> None:
    import faiss

    index = faiss.IndexFlatL2(64)
    index.add(np.ones((10_000, 64), np.float32))
    faiss.write_index(index, str(folder / "x.faiss"))


def by_sqlite(folder: Path) -> None:
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("create table x (y blob)")
        connection.execute("insert into x values (zeroblob(3000000))")


def by_copy(folder: Path) -> None:
    source = folder.parent / "source"
    source.write_bytes(bytes(2000 * KIB))
    shutil.copyfile(source, folder / "x")


@pytest.mark.parametrize("write", [by_write, by_numpy, by_arrow, by_faiss, by_sqlite, by_copy])
def test_what_any_library_says_of_a_full_disk_is_one_line(small_disk: Path, write) -> None:
    full = pytest.raises(DiskError, match=rf"^stage x: {small_disk}[^:]*: the disk is full, [\d.]+ MB are free")
    with full, disk_errors("stage x", small_disk):
        write(small_disk)


def test_a_disk_without_inodes(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=5", "tmpfs", folder], check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        with pytest.raises(DiskError, match="no inode is left"), disk_errors("stage x", folder):
            for number in range(9):
                (folder / str(number)).touch()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_limit_of_the_size_of_files(tmp_path: Path) -> None:
    """In a process of its own, because the limit holds for all that it writes."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from cascade.core.disk import disk_errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with disk_errors('stage x', Path(sys.argv[1])):\n"
        "    Path(sys.argv[1], 'x').write_bytes(bytes(5000))\n"
    )
    found = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert "DiskError: stage x" in found.stderr and "larger than this process may write (`ulimit -f`)" in found.stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk quota of this user is used up"),
        (RuntimeError("UNKNOWN: x.data; No space left on device"), "the disk is full"),
        (OSError("1000 requested and 500 written"), "the disk is full"),
    ],
)
def test_errors_without_a_disk(tmp_path: Path, error: Exception, message: str) -> None:
    with pytest.raises(DiskError, match=message), disk_errors("stage x", tmp_path):
        try:
            raise error
        except Exception as cause:
            raise ValueError("while saving") from cause


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EACCES, "Permission denied"), ArtifactError("x")])
def test_other_errors_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as found, disk_errors("stage x", tmp_path):
        raise error
    assert found.value is error


def test_no_file_is_mapped_for_writing_without_its_space() -> None:
    """`new_array` is the one place that makes such a file."""
    root = Path(__file__).parents[2]
    folders = ("cascade", "workflows", "models", "ensemble", "evaluation", "bench", "tuning")
    made = {
        str(file.relative_to(root))
        for folder in folders
        for file in (root / folder).rglob("*.py")
        if '"w+"' in file.read_text() and "memmap" in file.read_text()
    }
    assert made == {"cascade/core/disk.py"}


def test_space_is_checked_by_the_byte(small_disk: Path) -> None:
    check_space(small_disk / "x", 1024 * KIB)
    with pytest.raises(DiskError, match=r"disk/x: needs 1.05 MB on disk, 1.05 MB are free: "):
        check_space(small_disk / "x", 1024 * KIB + 1)


@pytest.mark.parametrize("free", [0, 40 * KIB])
def test_what_sqlite_says_of_a_full_disk_has_the_way_out(small_disk: Path, free: int) -> None:
    """With a write-ahead log it says "disk I/O error" or "database or disk is full", depending on which file it was."""
    (small_disk / "other").write_bytes(bytes(1024 * KIB - free))
    with pytest.raises(sqlite3.Error) as found, closing(sqlite3.connect(small_disk / "x.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("create table x (y blob)")
        connection.execute("insert into x values (zeroblob(500000))")
        connection.commit()
    assert way_out(found.value, small_disk / "x.db").startswith("free some of the disk (`cascade clean`")
