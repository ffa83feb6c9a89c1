"""Links for paths that Triton's stubs cannot take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import ServerError
from cascade.ensemble.server import plain_path as module
from cascade.ensemble.server.plain_path import is_plain, plain_path, real_paths

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(NAMES.filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 250))
def test_any_folder_has_a_plain_path_that_leads_to_it(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("x") / name
    folder.mkdir()
    found = plain_path(folder)
    assert is_plain(found) and found.resolve() == folder.resolve() and plain_path(folder) == found
    assert (found == folder) == is_plain(folder)
    assert real_paths(f"{found}/1/x.npy: no such file") == f"{folder}/1/x.npy: no such file"


@pytest.mark.parametrize(
    "name", ["a b", "ä", "a'b", 'a"b', "a$b", "a;b", "a&b", "a(b", "a*b", "a\nb", "a\\b", "a`b", "a~b"]
)
def test_what_a_shell_or_ascii_cannot_take_is_not_plain(name: str) -> None:
    assert not is_plain(Path("/srv") / name)


def test_plain_paths_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert plain_path(Path("models")) == tmp_path / "models"
    assert is_plain(Path("/srv/my-shop_2.0/models@prod+1"))


def test_links_go_with_the_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from cascade.ensemble.server.plain_path import plain_path\n"
        "link = plain_path(Path(sys.argv[1])); print(link, link.is_symlink())"
    )
    ran = subprocess.run([sys.executable, "-c", program, tmp_path / "a b"], capture_output=True, text=True, check=True)
    link, made = ran.stdout.split()
    assert made == "True" and not Path(link).parent.exists()


def test_without_a_place_for_links_the_error_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PLACES", (str(tmp_path / "missing"),))
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "a b"))
    with pytest.raises(ServerError, match="no folder for links with plain names: .* set TMPDIR"):
        module._folder.__wrapped__()
