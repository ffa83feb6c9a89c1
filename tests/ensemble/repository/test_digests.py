"""A release with a file that was truncated, changed or deleted is refused, and the file is named."""

import shutil

import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.config import ServingConfig
from cascade.ensemble.protocol.config_file import CONFIG
from cascade.ensemble.repository.digests import DIGESTS, check_files, write_digests
from cascade.testing.miniature import miniature_repository


def truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def delete(file):
    file.unlink()


@pytest.fixture(scope="module", params=["fused", "ensemble"])
def repository(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "models"
    miniature_repository(folder, serving=ServingConfig(layout=request.param))
    return folder


def versions(repository):
    return sorted(file.parent for file in repository.glob(f"*/*/{DIGESTS}"))


def check(repository):
    for version in versions(repository):
        check_files(version, version.parent / CONFIG)


@pytest.mark.parametrize("damage", [truncate, flip, delete])
def test_damage_to_any_file_is_named(repository, tmp_path, damage):
    check(repository)
    files = [file for file in repository.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert len(files) > 10
    copy = tmp_path / "models"
    for file in (file for file in files if file.stat().st_size):
        shutil.copytree(repository, copy)
        damaged = copy / file.relative_to(repository)
        at = versions(copy)
        damage(damaged)
        with pytest.raises(ArtifactError) as error:
            for version in at:
                check_files(version, version.parent / CONFIG)
        assert str(error.value).startswith(f"{damaged}: "), error.value
        shutil.rmtree(copy)


def test_a_byte_anywhere_in_the_table_of_digests_counts(repository, tmp_path):
    shutil.copytree(repository, tmp_path / "models")
    version = versions(tmp_path / "models")[0]
    file = version / DIGESTS
    content = file.read_bytes()
    for at in range(0, len(content), 7):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x2A]) + content[at + 1 :])
        with pytest.raises(ArtifactError, match=DIGESTS):
            check_files(version)


def test_of_large_files_only_the_size_is_checked(tmp_path):
    (tmp_path / "small").write_bytes(b"12345")
    (tmp_path / "large").write_bytes(b"1234567890")
    write_digests(tmp_path, "name: 'a'")
    flip(tmp_path / "large")
    check_files(tmp_path, contents_up_to=9)
    with pytest.raises(ArtifactError, match="its content has changed"):
        check_files(tmp_path, contents_up_to=10)
    truncate(tmp_path / "large")
    with pytest.raises(ArtifactError, match="9 bytes instead of 10"):
        check_files(tmp_path, contents_up_to=0)
