"""The private copy of the release that is served."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from shipping import ROOT

from cascade.core.errors import CascadeError, ServerError
from cascade.ensemble.protocol.config_file import read_config
from cascade.ensemble.repository.digests import write_digests
from cascade.ensemble.server.live_models import LiveModels
from cascade.ensemble.server.releases import running_servers, version_copy
from cascade.ensemble.server.releases.running_servers import LIVE, remove_left, servers_of

CONFIG = """
name: "shop"
backend: "python"
instance_group { count: 1 kind: KIND_CPU }
version_policy { specific { versions: 3 } }
"""
ENSEMBLE = 'name: "shop"\nplatform: "ensemble"\nensemble_scheduling { step { model_name: "shop_rank" } }\n'


def publish(repository, release, model="shop", version=3, config=CONFIG):
    folder = repository / model / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"release": release, "created": "", "model": "shop", "pipeline": "shop", "parts": {}, "notices": []}
    (folder / "release.json").write_text(json.dumps(facts))
    (folder / "model.py").write_text(f"RELEASE = {release!r}\n")
    (folder / "items.npy").write_bytes(b"0" * (2 << 20))
    write_digests(folder, config)
    (repository / model / "config.pbtxt").write_text(config)


@pytest.fixture
def repository(tmp_path):
    publish(tmp_path / "models", "one")
    return tmp_path / "models"


@pytest.fixture
def live(repository):
    made = LiveModels(repository, "shop", 3)
    made.take(repository / "status")
    yield made
    made.remove()


def test_it_is_a_copy_with_the_configured_number_of_processes_each_in_a_group(live, repository):
    assert live.release == "one" and live.models == ["shop"] and live.full
    config = read_config(live.repository / "shop" / "config.pbtxt")
    assert [group.name for group in config.instance_group] == live.groups("shop") == ["shop-0", "shop-1", "shop-2"]
    assert live.repository.is_relative_to(repository / LIVE)
    large = live.repository / "shop" / "3" / "items.npy"
    assert not large.samefile(repository / "shop" / "3" / "items.npy")  # whoever writes into that changes only that
    assert not large.with_name("model.py").samefile(repository / "shop" / "3" / "model.py")


def test_what_is_published_later_does_not_change_it(live, repository):
    shutil.rmtree(repository / "shop" / "3")
    publish(repository, "two")
    assert live.release == "one"
    assert (live.repository / "shop" / "3" / "items.npy").stat().st_size == 2 << 20


def test_a_group_is_dropped_and_a_fresh_one_takes_its_place_and_priority(live):
    priority = {group.name: group.rate_limiter.priority for group in config_of(live).instance_group}
    live.drop("shop", {"shop-0"})
    assert (live.full, live.short, live.groups("shop")) == (False, ["shop"], ["shop-1", "shop-2"])
    live.refill("shop")
    assert live.full and live.groups("shop") == ["shop-1", "shop-2", "shop-3"]
    after = {group.name: group.rate_limiter.priority for group in config_of(live).instance_group}
    assert after["shop-3"] == priority["shop-0"] == 1
    live.refill("shop", {"shop-1", "shop-2", "shop-3"})
    assert live.full and not {"shop-1", "shop-2", "shop-3"} & set(live.groups("shop"))
    live.leave_one()
    assert len(live.groups("shop")) == 1 and not live.full


def config_of(live):
    return read_config(live.repository / "shop" / "config.pbtxt")


def test_a_release_that_loads_takes_the_place_of_the_old_one(live, repository):
    publish(repository, "two")
    loaded, before = [], live.groups("shop")
    live.replace(repository, lambda: loaded.append(live.release), lambda: loaded.append("again"))
    assert loaded == ["two"] and live.release == "two"
    assert live.full and not set(before) & set(live.groups("shop"))
    assert {path.name for path in live.home.iterdir()} == {"lock", "models"}


def test_one_that_does_not_load_leaves_the_old_one(live, repository):
    publish(repository, "two")
    loaded, groups = [], live.groups("shop")

    def fail():
        raise ServerError("no")

    with pytest.raises(ServerError, match="no"):
        live.replace(repository, fail, lambda: loaded.append(live.release))
    assert loaded == ["one"] and live.release == "one"
    assert live.full and not set(groups) & set(live.groups("shop"))  # the old processes go, however many there are
    assert {path.name for path in live.home.iterdir()} == {"lock", "models"}


def test_one_that_is_not_whole_is_not_tried(live, repository, monkeypatch):
    monkeypatch.setattr(version_copy, "_TRIES", 2)
    shutil.rmtree(repository / "shop" / "3")
    with pytest.raises(ServerError, match="model 'shop' cannot be copied: .*No such file"):
        live.replace(repository, lambda: None, lambda: None)
    assert live.release == "one"


def gone(path):
    path.unlink()


def empty(path):
    path.write_text("")


def noise(path):
    path.write_bytes(bytes(range(256)))


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [gone, empty, noise, a_folder])
@pytest.mark.parametrize("file", ["config.pbtxt", "3/release.json"])
def test_whatever_is_damaged_in_what_is_published_the_old_one_stays(live, repository, monkeypatch, file, damage):
    monkeypatch.setattr(version_copy, "_TRIES", 1)
    damage(repository / "shop" / file)
    with pytest.raises(ServerError) as error:
        live.replace(repository, lambda: None, lambda: None)
    assert LIVE not in str(error.value)  # nobody can mend what is wrong in the copy
    assert live.release == "one" and live.full and (live.repository / "shop" / "config.pbtxt").is_file()


def test_a_copy_that_somebody_deletes_is_named(live):
    shutil.rmtree(live.home)
    for heal in (live.leave_one, live.configs, lambda: live.drop("shop", ["0"])):
        with pytest.raises(ServerError, match=r"config.pbtxt: was deleted, .* start the server again"):
            heal()


def test_a_config_without_instances_is_named(live, repository, monkeypatch):
    monkeypatch.setattr(version_copy, "_TRIES", 1)
    publish(repository, "two", config='name: "shop"\nbackend: "python"\nversion_policy { specific { versions: 3 } }')
    with pytest.raises(ServerError, match="config.pbtxt: has no instance_group"):
        live.replace(repository, lambda: None, lambda: None)


def test_steps_of_two_releases_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(version_copy, "_TRIES", 2)
    publish(tmp_path, "one", config=ENSEMBLE)
    publish(tmp_path, "two", model="shop_rank", config=CONFIG.replace('"shop"', '"shop_rank"'))
    live = LiveModels(tmp_path, "shop", 2)
    with pytest.raises(ServerError, match="its steps belong to several releases"):
        live.take(tmp_path / "status")
    live.remove()
    publish(tmp_path, "one", model="shop_rank", config=CONFIG.replace('"shop"', '"shop_rank"'))
    live.take(tmp_path / "status")
    assert live.models == ["shop_rank"] and len(live.groups("shop_rank")) == 1  # steps have their own number
    live.remove()


def test_nothing_is_left_of_it(repository):
    live = LiveModels(repository, "shop", 1)
    live.take(repository / "status")
    live.remove()
    live.remove()
    assert not (repository / LIVE).exists()


@pytest.mark.parametrize("name", ["my models", "größe"])
def test_a_path_that_triton_cannot_take_is_avoided(tmp_path, monkeypatch, name):
    monkeypatch.setattr(running_servers.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    publish(tmp_path / name, "one")
    live = LiveModels(tmp_path / name, "shop", 1)
    live.take(tmp_path / "status")
    assert live.home.is_relative_to(tmp_path / "tmp") and live.release == "one"
    assert [server.pid for server in servers_of(tmp_path / name, "shop")] == [os.getpid()]
    live.remove()


def test_two_servers_of_one_repository_have_a_copy_each(live, repository):
    second = LiveModels(repository, "shop", 1)
    second.take(repository / "other", takes_hangup=True)
    found = {(server.pid, server.status_file, server.takes_hangup) for server in servers_of(repository, "shop")}
    assert found == {(os.getpid(), str(repository / "status"), False), (os.getpid(), str(repository / "other"), True)}
    second.remove()
    assert live.release == "one" and len(servers_of(repository, "shop")) == 1
    assert servers_of(repository, "another") == []


def test_what_a_killed_server_left_is_removed_by_the_next_one(repository):
    code = (
        "import os, sys; from pathlib import Path; from cascade.ensemble.server.live_models import LiveModels; "
        "LiveModels(Path(sys.argv[1]), 'shop', 1).take(Path('status')); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(repository)], cwd=ROOT, check=False)
    assert len(list((repository / LIVE).iterdir())) == 1 and not servers_of(repository, "shop")
    remove_left(repository / LIVE)
    assert not list((repository / LIVE).iterdir())


def test_a_takeover_needs_no_room_on_the_disk(live, monkeypatch):
    """What the standby has started with is what lies there, unless a process was replaced meanwhile."""

    def full(*_):
        raise OSError(28, "No space left on device")

    configs = live.configs()
    monkeypatch.setattr("cascade.ensemble.server.live_models.write_config", full)
    live.restore(configs)
    assert live.groups("shop") == ["shop-0", "shop-1", "shop-2"]
    with pytest.raises(OSError, match="No space"):
        live.leave_one()
    live.restore(configs)
    assert live.full


@pytest.mark.parametrize("where", ["stands_for", "copy_version"])
def test_nothing_is_left_of_a_copy_that_finds_no_room(repository, monkeypatch, where):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"cascade.ensemble.server.live_models.{where}", full)
    made = LiveModels(repository, "shop", 3)
    with pytest.raises(CascadeError, match="copying the release of model shop: .*|No space left"):
        made.take(repository / "status")
    made.remove()
    assert [*repository.glob(f"{LIVE}/*")] == []
