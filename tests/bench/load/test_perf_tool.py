"""perf_analyzer is extracted from a wheel with a pinned checksum, and must start."""

import hashlib
import zipfile

import pytest

from cascade.bench.load import perf_tool as module
from cascade.bench.load.perf_tool import MEMBER, NoPerfAnalyzerError, perf_tool

STARTS = "#!/bin/sh\necho 'Perf Analyzer Version 2.50.0'\n"


@pytest.fixture
def wheel(monkeypatch):
    """Replaces the wheel that pip would download: ``wheel(script)`` returns the list of downloads."""
    calls = []

    def offer(script, sha256=None):
        def download(folder):
            calls.append(folder)
            file = folder / "tritonclient.whl"
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(zipfile.ZipInfo(MEMBER), script)
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            monkeypatch.setattr(module, "WHEEL_SHA256", sha256 or found)
            return file

        monkeypatch.setattr(module, "_download", download)
        return calls

    return offer


def test_the_binary_is_downloaded_once(wheel, tmp_path):
    calls = wheel(STARTS)
    first, second = perf_tool(tmp_path), perf_tool(tmp_path)
    assert first == second and len(calls) == 1
    assert first.binary == tmp_path / "tools" / "perf_analyzer-2.50.0" / "perf_analyzer"
    assert first.binary.read_text() == STARTS
    assert str(first.binary.parent) in first.environment()["LD_LIBRARY_PATH"]


def test_the_cuda_runtime_is_linked_under_the_expected_name(wheel, tmp_path):
    wheel(STARTS)
    link = perf_tool(tmp_path).binary.with_name("libcudart.so.12")
    assert link.resolve().is_file() and "libcudart" in link.resolve().name
    link.unlink()
    link.symlink_to(tmp_path / "environment-that-is-gone")
    perf_tool(tmp_path)
    assert link.resolve().is_file()


def test_a_wheel_with_another_checksum_is_refused_and_removed(wheel, tmp_path):
    wheel(STARTS, sha256="0" * 64)
    with pytest.raises(NoPerfAnalyzerError, match="expected SHA-256 0000"):
        perf_tool(tmp_path)
    assert list((tmp_path / "tools").iterdir()) == []


def test_the_error_of_a_missing_library_names_its_package(wheel, tmp_path):
    missing = "error while loading shared libraries: libb64.so.0d: cannot open shared object file"
    wheel(f"#!/bin/sh\necho '{missing}' >&2\nexit 127\n")
    with pytest.raises(NoPerfAnalyzerError, match=r"libb64\.so\.0d.*apt-get install libb64-0d"):
        perf_tool(tmp_path)


def test_without_pip_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoPerfAnalyzerError, match="no pip to download"):
        module._download(tmp_path)
