"""Where the releases cannot be changed: an error that says what to do."""

import errno
from pathlib import Path

import pytest

from cascade.core.errors import ReleaseError
from cascade.rollout.releases.writer_lock import only_writer


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (
            errno.EROFS,
            "is on a file system that cannot be written to here; run the command where `cascade run` publishes",
        ),
        (errno.EACCES, "this user cannot write it; run the command as the user who runs `cascade run`"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def cannot(self: Path, *_: object, **__: object) -> None:
        raise OSError(number, "no", str(self))

    monkeypatch.setattr(Path, "open", cannot)
    with pytest.raises(ReleaseError) as refused, only_writer(tmp_path / "releases", 0.1):
        pass
    assert str(refused.value).startswith(f"{tmp_path / 'releases' / '.lock'}: {advice}")


def test_any_other_error_is_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="other"), only_writer(tmp_path / "releases", 0.1):
        raise OSError(errno.EIO, "other")
