"""A server all of whose folders have names that Triton's stubs cannot take."""

import os
import shutil
from pathlib import Path

import pytest
from waiting import HANG_S

from cascade.core.errors import ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.server.server import TritonServer
from cascade.testing.miniature import seal

pytestmark = pytest.mark.slow


@pytest.fixture
def odd(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature's repository in a folder of spaces and letters beyond ASCII; so is the cache, and no UTF-8."""
    folder = tmp_path / "my shop's $1 ü 商店"
    shutil.copytree(repository, folder / "models")
    monkeypatch.setenv("CASCADE_CACHE", str(folder / "cache"))
    for name in ("LC_ALL", "LANG", "LC_CTYPE"):
        monkeypatch.setenv(name, "C")
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    return folder


def test_a_model_in_any_folder_is_served(odd: Path, free) -> None:
    running = TritonServer(odd / "models", "cascade", feature_repo=odd / "models", config=free)
    with running, Client(running.grpc_url, timeout=HANG_S) as client:
        assert len(client.recommend([101])[0].items) == 6
    assert (odd / "cache" / "triton").is_dir()


def test_an_error_at_load_is_one_line_that_names_the_folder_itself(odd: Path, free) -> None:
    [graph] = (odd / "models").glob("cascade/1/graph.json")
    graph.write_text(graph.read_text()[:100])
    seal(odd / "models")  # so that only the model's own process finds it
    lines: list[str] = []
    with pytest.raises(ServerError) as found:
        TritonServer(odd / "models", "cascade", feature_repo=odd, config=free, forward=lines.append).start()
    said = [line for line in lines if "graph.json" in line]
    for text in (str(found.value), *said):
        assert f"{odd}{os.sep}models{os.sep}cascade" in text and "damaged" in text
        assert "At:" not in text and "Traceback" not in text
    assert 1 <= len(said) <= 2  # Triton says it again when it gives up
