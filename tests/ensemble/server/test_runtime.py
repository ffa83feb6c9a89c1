"""The runtime, from a wheel of empty files."""

import sys
from pathlib import Path

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server import runtime


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """The files of a wheel, all empty, and a libpython beside it."""
    root = tmp_path / "site"
    for file in (
        "pytriton/tritonserver/bin/tritonserver",
        "pytriton/tritonserver/backends/python/libtriton_python.so",
        "pytriton/tritonserver/backends/python/triton_python_backend_utils.py",
        f"pytriton/tritonserver/python_backend_stubs/{runtime.PYTHON}/{runtime.STUB}",
        "nvidia_pytriton.libs/libtritonserver.so",
        f"lib/{runtime.LIBPYTHON}",
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    monkeypatch.setattr(runtime, "_wheel_folder", lambda: root / "pytriton" / "tritonserver")
    monkeypatch.setattr(runtime, "_libpython_folders", lambda: iter([root / "nowhere", root / "lib"]))
    return root


def test_lays_the_wheel_out(wheel, tmp_path):
    got = runtime.assemble_runtime(tmp_path / "cache")
    backend = got.backends / "python"
    assert got.server.resolve() == wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    assert (backend / "libtriton_python.so").is_file()
    assert (backend / runtime.STUB).is_file() and not (backend / runtime.STUB).is_symlink()
    assert got.libraries == (wheel / "nvidia_pytriton.libs", wheel / "lib")


def test_a_second_call_reuses_and_a_half_made_one_is_made_again(wheel, tmp_path):
    stub = runtime.assemble_runtime(tmp_path / "cache").backends / "python" / runtime.STUB
    before = stub.stat().st_ino
    runtime.assemble_runtime(tmp_path / "cache")
    assert stub.stat().st_ino == before
    stub.unlink()
    runtime.assemble_runtime(tmp_path / "cache")
    assert stub.is_file()
    assert len(list((tmp_path / "cache" / "triton").iterdir())) == 1


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("pytriton/tritonserver/bin/tritonserver", "tritonserver not found; .*pip install nvidia-pytriton"),
        (f"pytriton/tritonserver/python_backend_stubs/{runtime.PYTHON}/{runtime.STUB}", "stub for Python"),
        (f"lib/{runtime.LIBPYTHON}", rf"{runtime.LIBPYTHON} not found; .*apt install.*enable-shared"),
    ],
)
def test_a_missing_part_is_named_with_what_to_do(wheel, tmp_path, file, match):
    (wheel / file).unlink()
    with pytest.raises(ServerError, match=match):
        runtime.assemble_runtime(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_parts_lists_all_of_them_without_the_wheel(monkeypatch):
    monkeypatch.setattr(runtime, "_wheel_folder", lambda: None)
    parts = {part.name: part.path for part in runtime.runtime_parts()}
    assert parts["tritonserver"] is None and parts["nvidia_pytriton.libs"] is None
    assert parts["python3"] == Path(sys.executable).parent / "python3"


def test_the_environment_leads_the_stub_to_this_python(wheel, tmp_path, monkeypatch):
    for name, value in {"PYTHONPATH": "/x", "PYTHONHOME": "/y", "PATH": "/bin", "LD_LIBRARY_PATH": "/z"}.items():
        monkeypatch.setenv(name, value)
    env = runtime.assemble_runtime(tmp_path / "cache").environment()
    assert env["PATH"].split(":") == [str(Path(sys.executable).parent), "/bin"]
    assert env["LD_LIBRARY_PATH"].split(":") == [str(wheel / "nvidia_pytriton.libs"), str(wheel / "lib"), "/z"]
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(env)


def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(wheel, tmp_path):
    (tmp_path / "cache").write_text("a file, in which even root makes no folder")
    with pytest.raises(ServerError, match="cannot write .*cache/triton.*set CASCADE_CACHE to a folder"):
        runtime.assemble_runtime(tmp_path / "cache")
