"""Names of extensions: registered in the process, or announced by an installed package."""

import sys
import textwrap

import pytest

import cascade
from cascade.core.registry import BUILT_IN, choices, find, group, naming, registered
from cascade.errors import ConfigError, DataError
from examples import BlockList, hit_rate, margin

SMALL = {"schema.sparse": ["user_id", "item_id"]}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """``installed(name, group, entry)``: a package as pip leaves it, with one entry point."""

    def install(name, group, *entries):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries]) + "\n")
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(textwrap.dedent(MODULE))
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


MODULE = """
    def hinge(shared, own=None):
        return shared[:, 0]

    other = "no function"
"""


def test_a_function_and_a_decorator():
    assert cascade.register("loss", "margin", margin) is margin

    @cascade.register("metric", "hit_rate")
    def other(hits, relevant, k):
        return hits[:, 0]

    assert find("loss", "margin", {}) is margin
    assert find("metric", "hit_rate", {}) is other
    assert registered("loss") == ["margin"]
    assert choices("loss") == ["bpr", "softmax", "sampled_softmax", "margin"]


def test_the_same_again_is_no_conflict_and_another_is():
    cascade.register("loss", "margin", margin)
    cascade.register("loss", "margin", margin)
    with pytest.raises(ConfigError, match=r"loss 'margin': is registered already, as examples\.margin"):
        cascade.register("loss", "margin", hit_rate)
    cascade.register("loss", "margin", hit_rate, replace=True)
    assert find("loss", "margin", {}) is hit_rate


@pytest.mark.parametrize(
    ("kind", "name", "thing", "message"),
    [
        ("loss", "bpr", margin, "loss 'bpr': is the name of a built-in loss"),
        ("losses", "margin", margin, "kind 'losses': no such kind of extension; did you mean 'loss'"),
        ("loss", "margin", 3, "loss 'margin': expected a class or a function, got 3"),
        ("op", "other", BlockList, "op 'other': its class says kind = 'block_list'"),
        ("loss", "margin", None, "loss 'margin': expected a class or a function, got None"),
        (None, "margin", margin, "kind None: no such kind of extension"),
        (["loss"], "margin", margin, r"kind \['loss'\]: no such kind of extension"),
        ("loss", "", margin, "loss '': expected a name of letters, digits, '_', '.' and '-'"),
        ("loss", "a b", margin, "loss 'a b': expected a name"),
        ("metric", "hits@3", hit_rate, "metric 'hits@3': expected a name"),
        ("loss", "margin\n", margin, "loss .*: expected a name"),
        ("loss", 3, margin, "loss 3: expected a name"),
        ("metric", "coverage", hit_rate, "metric 'coverage': is the name of a built-in metric"),
    ],
)
def test_refusals(kind, name, thing, message):
    with pytest.raises(ConfigError, match=message):
        cascade.register(kind, name, thing)


def test_a_decorator_refuses_a_name_before_it_decorates():
    with pytest.raises(ConfigError, match="metric 'a b': expected a name"):
        cascade.register("metric", "a b")


def test_errors_of_an_extension_name_it():
    with pytest.raises(ConfigError, match="^metric 'x': raised ValueError: odd$") as caught, naming("metric", "x"):
        raise ValueError("odd")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(DataError, match="^as it is$"), naming("source", "x"):
        raise DataError("as it is")


def test_an_unknown_name_lists_the_nearest():
    cascade.register("loss", "margin", margin)
    with pytest.raises(ConfigError, match="loss 'margn': no such loss; did you mean 'margin'"):
        find("loss", "margn", {})
    with pytest.raises(ConfigError, match="loss 'xyz': no such loss; valid: bpr, margin"):
        find("loss", "xyz", {"bpr": margin})


def test_an_entry_point_is_found(installed):
    installed("their-package", "cascade.losses", "hinge = their_package:hinge")
    assert registered("loss") == ["hinge"]
    assert find("loss", "hinge", {}).__module__ == "their_package"
    config = cascade.load_config(overrides={**SMALL, "two_tower.loss": "hinge"})
    assert config.two_tower.loss == "hinge"


def test_two_packages_of_one_name_are_a_conflict(installed):
    installed("their-package", "cascade.losses", "hinge = their_package:hinge")
    installed("another", "cascade.losses", "hinge = another:hinge")
    with pytest.raises(ConfigError, match="loss 'hinge': another and their-package both announce it"):
        find("loss", "hinge", {})


def test_a_package_and_the_process_are_a_conflict(installed):
    installed("their-package", "cascade.losses", "hinge = their_package:hinge")
    cascade.register("loss", "hinge", margin)
    with pytest.raises(ConfigError, match=r"their-package announces it, and this process has registered examples\."):
        find("loss", "hinge", {})
    import their_package

    cascade.register("loss", "hinge", their_package.hinge, replace=True)  # what both mean is the same
    assert find("loss", "hinge", {}) is their_package.hinge


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("hinge = their_package:nothing", "hinge': their-package announces their_package:nothing, which cannot be imp"),
        ("hinge = their_package:other", "hinge': expected a class or a function, got 'no function'"),
        ("bpr = their_package:hinge", "loss 'bpr': their-package announces it, and it is the name of a built-in loss"),
    ],
)
def test_broken_entry_points_are_named(installed, entry, message):
    installed("their-package", "cascade.losses", entry)
    with pytest.raises(ConfigError, match=message):
        find("loss", "hinge", {})


def test_groups():
    assert [group(kind) for kind in BUILT_IN] == [
        *("cascade.sources", "cascade.ops", "cascade.interactions", "cascade.losses"),
        *("cascade.indexes", "cascade.baselines", "cascade.metrics"),
    ]


KEYS = {
    "data.source": "source",
    "dlrm_ranker.interactions": "interaction",
    "two_tower.loss": "loss",
    "serving.ann.type": "index",
    "evaluation.baselines": "baseline",
    "evaluation.metrics": "metric",
}


@pytest.mark.parametrize(("key", "kind"), KEYS.items())
def test_config_keys_take_registered_names(key, kind):
    value = ["mine"] if key.startswith("evaluation") else "mine"
    with pytest.raises(ConfigError, match=f"{key}.* is 'mine', should be .*{BUILT_IN[kind][-1]}"):
        cascade.load_config(overrides={**SMALL, key: value})
    cascade.register(kind, "mine", margin)
    assert cascade.load_config(overrides={**SMALL, key: value}).value(key) == value
    with pytest.raises(ConfigError, match=f"{key}.*should be .*'mine', or a registered {kind}; did you mean 'mine'"):
        cascade.load_config(overrides={**SMALL, key: ["min"] if isinstance(value, list) else "min"})


def test_built_in_names_are_those_of_the_tables():
    from cascade.ensemble.graph.ops import OPS
    from cascade.evaluation.config import BASELINES
    from cascade.evaluation.list_metrics import METRICS
    from cascade.models.ranker.interactions import INTERACTIONS
    from cascade.models.retriever.losses import LOSSES

    tables = {"op": OPS, "baseline": BASELINES, "metric": METRICS, "interaction": INTERACTIONS, "loss": LOSSES}
    for kind, table in tables.items():
        assert [name for name in table if not name.startswith("miniature")] == list(BUILT_IN[kind])


def test_nothing_registered_leaves_artifacts_as_they_were():
    """Keys for extensions are not in what the names of run folders and releases are hashed from."""
    config = cascade.load_config(overrides=SMALL)
    for key, own in {"data": "options", "serving": "ops", "evaluation": "metrics"}.items():
        assert own not in config.section(key).model_dump(mode="json")
    used = cascade.load_config(overrides={**SMALL, "data.options": {"days": 3}})
    assert used.section("data").model_dump(mode="json")["options"] == {"days": 3}
