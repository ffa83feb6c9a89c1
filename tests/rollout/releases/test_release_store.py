"""Releases are kept whole, once, and for as long as somebody needs them."""

import json
import os
import shutil
from itertools import product
from pathlib import Path

import pytest

from cascade.core.errors import ArtifactError, DiskError, ReleaseError
from cascade.core.files import LINK_FROM
from cascade.ensemble.protocol.config_file import served_version
from cascade.ensemble.server.releases.running_servers import LiveServer
from cascade.ensemble.server.status import ServerStatus
from cascade.rollout.releases import store as store_module
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore

STEPS = ("rank", "order")


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def make_live(store: ReleaseStore, stable: str, previous: str | None = None) -> None:
    LiveSets(store.repository, store.model).change(lambda _: LiveSet(stable, previous), actor="test", reason="")


@pytest.mark.parametrize("steps", [(), STEPS])
def test_a_release_is_kept_as_it_was_exported(export, store, steps) -> None:
    artifact = export("aaaa", steps, version=3)
    assert store.add(artifact) == "aaaa"
    assert content(store.folder("aaaa")) == content(artifact)
    big = "shop/3/files/item_vectors.npy"
    assert os.path.samefile(store.folder("aaaa") / big, artifact / big)
    [kept] = store.releases()
    assert (kept.id, kept.pipeline, kept.version) == ("aaaa", "shop", 3)
    assert kept.layout == ("ensemble" if steps else "fused")
    assert kept.bytes == sum(map(len, content(artifact).values())) > LINK_FROM
    assert kept.parts == {"index": "digest of aaaa"}
    store.verify("aaaa")


def test_a_release_outlives_its_artifact(export, store) -> None:
    artifact = export("aaaa")
    before = content(artifact)
    store.add(artifact)
    shutil.rmtree(artifact)
    assert content(store.folder("aaaa")) == before


def test_the_same_release_is_kept_once(export, store) -> None:
    store.add(export("aaaa", day=1))
    before = store.folder("aaaa").stat().st_ino
    store.add(export("aaaa", day=2))  # exported again
    assert store.folder("aaaa").stat().st_ino == before
    assert store.read("aaaa").created.startswith("2026-01-01")


def test_other_files_of_the_same_release_take_its_place(export, store) -> None:
    """An export by another version of this package: the kept files may be of no use any more."""
    store.add(export("aaaa"))
    newer = export("aaaa", code="written otherwise")
    store.add(newer)
    assert content(store.folder("aaaa")) == content(newer)
    other_version = export("aaaa", version=2)
    store.add(other_version)
    assert content(store.folder("aaaa")) == content(other_version)


def files_of(steps: tuple[str, ...]) -> list[str]:
    own = [f"shop/{name}" for name in ("config.pbtxt", "1/graph.json", "1/files/item_vectors.npy")]
    own += ["shop/1/release.json", "shop/1/digests.json"]
    each = ("config.pbtxt", "1/step.json", "1/release.json", "1/digests.json")
    return own + [f"shop_{step}/{name}" for step in steps for name in each]


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.unlink()  # the large one is a link to the artifact's
    file.write_bytes(data[: len(data) // 2])


def flip(file: Path) -> None:
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.parametrize(("damage", "name"), [*product([cut, flip, Path.unlink], files_of(STEPS))])
def test_each_file_that_is_damaged_is_named_and_put_back(export, store, damage, name) -> None:
    artifact = export("aaaa", STEPS)
    store.add(artifact)
    damage(store.folder("aaaa") / name)
    with pytest.raises(ArtifactError, match=Path(name).name) as refused:
        store.verify("aaaa")
    assert str(store.folder("aaaa") / name) in str(refused.value) or "digests.json" in name
    store.add(artifact)
    assert content(store.folder("aaaa")) == content(artifact)


@pytest.mark.parametrize("model", ["shop", "shop_order"])
def test_a_model_that_is_gone_is_named(export, store, model) -> None:
    store.add(export("aaaa", STEPS))
    shutil.rmtree(store.folder("aaaa") / model)
    with pytest.raises(ArtifactError, match=f"{model}: is missing"):
        store.verify("aaaa")


def test_a_step_of_another_release_is_refused(export, store) -> None:
    store.add(export("aaaa", STEPS))
    other = export("bbbb", STEPS)
    shutil.rmtree(store.folder("aaaa") / "shop_rank")
    shutil.copytree(other / "shop_rank", store.folder("aaaa") / "shop_rank")
    with pytest.raises(ArtifactError, match="shop_rank: belongs to release bbbb, not aaaa"):
        store.verify("aaaa")


def test_a_damaged_artifact_is_not_kept(export, store) -> None:
    artifact = export("aaaa")
    flip(artifact / "shop/1/graph.json")
    with pytest.raises(ArtifactError, match="graph.json: damaged"):
        store.add(artifact)
    assert store.releases() == []


def test_a_release_is_found_by_the_beginning_of_its_id(export, store) -> None:
    with pytest.raises(ReleaseError, match="'a': expected the beginning of one id; .* are kept: none"):
        store.find("a")
    for release in ("ab12", "ab34", "cd56", "cd567"):
        store.add(export(release))
    assert store.find("ab1") == "ab12" and store.find("cd56") == "cd56", "a whole id is no doubt"
    with pytest.raises(ReleaseError, match="begin with it: ab12, ab34$"):
        store.find("ab")
    with pytest.raises(ReleaseError, match="are kept: ab12, ab34, cd56, cd567$"):
        store.find("x")
    with pytest.raises(ReleaseError, match="is no whole id"):
        store.folder("ab1")


def test_the_newest_comes_first(export, store) -> None:
    for release, day in (("aaaa", 2), ("bbbb", 3), ("cccc", 1)):
        store.add(export(release, day=day))
    assert [release.id for release in store.releases()] == ["bbbb", "aaaa", "cccc"]


def test_prune_keeps_the_newest_and_what_is_in_use(export, store, monkeypatch) -> None:
    for day, release in enumerate("abcdefgh", start=1):
        store.add(export(release, day=day))
    make_live(store, "b", "c")
    publish(export("d"), store)
    serve(store, "e", monkeypatch)
    assert store.prune(2) == ["f", "a"]
    assert [release.id for release in store.releases()] == ["h", "g", "e", "d", "c", "b"]
    assert store.prune(2) == []


def test_refreshed_releases_do_not_push_out_trained_ones(export, store) -> None:
    for day, release in enumerate("abcdef", start=1):
        store.add(export(release, day=day, refreshed={"from": "a"} if release in "bdef" else None))
    assert store.prune(2) == ["d", "b"]
    assert [release.id for release in store.releases()] == ["f", "e", "c", "a"]


def publish(artifact: Path, store: ReleaseStore) -> None:
    shutil.copytree(artifact, store.repository, dirs_exist_ok=True)


def serve(store: ReleaseStore, release: str, monkeypatch) -> None:
    file = store.repository / "status.json"
    ServerStatus(release=release).write(file)
    server = LiveServer(4242, "shop", str(store.repository.absolute()), str(file), True)
    monkeypatch.setattr(
        "cascade.ensemble.server.releases.running_servers.servers_of", lambda repository, model: [server]
    )


def test_what_is_in_use_is_not_retired(export, store, monkeypatch) -> None:
    for release in "abcd":
        store.add(export(release))
    make_live(store, "a", "b")
    serve(store, "c", monkeypatch)
    for release, why in (("a", "stable"), ("b", "rollback"), ("c", "process 4242 serves it")):
        with pytest.raises(ReleaseError, match=why):
            store.retire(release)
    store.retire("d")
    assert [release.id for release in store.releases()] == ["c", "b", "a"]
    with pytest.raises(ReleaseError, match="'d': expected"):
        store.retire("d")


def test_what_killed_processes_have_left_is_removed(export, store) -> None:
    store.add(export("aaaa"))
    for left in (".bbbb.999", ".aaaa.999.old"):
        (store.place / left / "shop").mkdir(parents=True)
    assert [release.id for release in store.releases()] == ["aaaa"]
    store.prune(5)
    assert sorted(each.name for each in store.place.iterdir()) == [".lock", "aaaa"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_full_disk_leaves_what_was_there(export, store, monkeypatch, kept) -> None:
    if kept:
        store.add(export("aaaa"))
    before = content(store.place)

    def full(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "half").touch()
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(store_module, "link_or_copy", full)
    with pytest.raises(DiskError, match="keeping release aaaa"):
        store.add(export("aaaa", code="new"))
    assert {name: data for name, data in content(store.place).items() if name != ".lock"} == {
        name: data for name, data in before.items() if name != ".lock"
    }


def test_the_published_release_is_the_one_of_the_served_version(export, store) -> None:
    assert store.published() is None
    publish(export("aaaa", version=1), store)
    publish(export("bbbb", version=2), store)
    assert store.published() == "bbbb"
    assert served_version(store.repository / "shop") == 2
    (store.repository / "shop/2/release.json").write_text(json.dumps({}))
    assert store.published() is None


def test_a_release_without_description_is_listed_last_and_goes_first(export, store) -> None:
    for day, release in enumerate("abc", start=1):
        store.add(export(release, day=day))
    (store.folder("c") / "shop/1/release.json").write_text("{")
    assert [release.id for release in store.releases()] == ["b", "a", "c"]
    assert "release.json: damaged" in store.releases()[-1].notices[0]
    assert store.prune(2) == ["c"]


def test_the_repository_holds_models_only(export, store) -> None:
    """A Triton that loads all models takes any other folder for one, and does not start."""
    store.add(export("aaaa"))
    publish(export("aaaa"), store)
    assert [folder.name for folder in store.repository.iterdir()] == ["shop"]
    assert store.published() == "aaaa"
