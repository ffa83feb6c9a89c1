"""pipeline.yaml: precedence, origins, and errors that name the key, its value and what was expected."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.config.errors import keys
from cascade.config.load import config_with_origins, project_name
from cascade.config.pipeline import PipelineConfig
from cascade.core.errors import ConfigError

GUIDE = """\
schema:
  dense:  ["price", "discount", "session_time", "age_norm"]
  sparse: ["user_id", "item_id", "brand", "category", "geo", "device"]
  crosses: [["brand", "category"], ["geo", "device"]]
two_tower:
  user_tower: { emb_dims: { user_id: 64, geo: 16, device: 8 }, mlp: [256, 128, 64] }
  item_tower: { emb_dims: { item_id: 64, brand: 16, category: 16 }, mlp: [256, 128, 64] }
  loss: "bpr"              # bpr | softmax | sampled_softmax
  neg_sampling: "in_batch" # in_batch | hard | mixed
dlrm_ranker:
  embedding_dims: { user_id: 64, item_id: 64, brand: 16, category: 16, geo: 16, device: 8 }
  bottom_mlp: [256, 128]
  top_mlp: [256, 128, 1]
  interactions: "dot"      # dot | concat | cross
  loss: "bce"
serving:
  ann: { type: "gpu_hnsw", topk: 200 }   # gpu_flat | gpu_ivf | gpu_hnsw, and flat | ivf | hnsw
  rerank: { k: 50, diversity_lambda: 0.2 }
  thresholds: { min_score: 0.05 }
data: {source: synthetic}
"""
SMALL = "schema:\n  sparse: [user_id, item_id, brand, category]\n"


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    file = tmp_path / "guide.yaml"
    file.write_text(GUIDE)
    return file


def write(folder: Path, text: str) -> Path:
    file = folder / "p.yaml"
    file.write_text(text)
    return file


def fails(file: Path, *sets: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_with_origins(file, sets, environ or {})
    assert "Traceback" not in str(caught.value)
    return str(caught.value).splitlines()


def test_the_guides_five_sections_are_enough(guide: Path) -> None:
    config, origins = config_with_origins(guide, environ={})
    assert config.schema_.crosses == [["brand", "category"], ["geo", "device"]]
    assert (config.two_tower.loss, config.serving.ann.type, config.serving.thresholds.min_score) == (
        "bpr",
        "gpu_hnsw",
        0.05,
    )
    assert config.two_tower.user_tower.emb_dims == {"user_id": 64, "geo": 16, "device": 8}
    assert origins["serving.ann.topk"] == f"{guide}:17"
    assert origins["two_tower.user_tower.emb_dims.geo"] == f"{guide}:6"
    assert origins["history.length"] == "default"


@pytest.mark.slow
def test_a_key_that_is_set_to_its_own_value_changes_nothing_beside_it(tmp_path: Path) -> None:
    file = write(tmp_path, SMALL)
    config, origins = config_with_origins(file, environ={})
    for key in (key for key, origin in origins.items() if origin == "default"):
        value: Any = config.tree()
        for part in key.split("."):
            value = value[part]
        if value is not None:
            assert config_with_origins(file, [f"{key}={json.dumps(value)}"], environ={})[0] == config, key


def test_the_repositorys_own_file_loads() -> None:
    config, _ = config_with_origins(Path(__file__).parents[2] / "pipeline.yaml", environ={})
    assert config.data.source == "movielens-100k"


def test_every_leaf_has_an_origin(guide: Path) -> None:
    config, origins = config_with_origins(guide, environ={})

    def leaves(tree: object, path: str) -> list[str]:
        if isinstance(tree, dict) and tree:
            return [leaf for k, v in tree.items() for leaf in leaves(v, f"{path}.{k}" if path else k)]
        return [path]

    assert sorted(origins) == sorted(leaves(config.tree(), ""))


def test_precedence_default_file_set_environment(guide: Path) -> None:
    key, variable = "serving.ann.topk", "CASCADE_SERVING__ANN__TOPK"
    assert config_with_origins(write(guide.parent, SMALL), environ={})[0].serving.ann.topk == 200
    for sets, environ, value, origin in [
        ([f"{key}=300"], {}, 300, "--set"),
        ([f"{key}=300"], {variable: "400"}, 400, f"environment {variable}"),
        ([], {variable: "400"}, 400, f"environment {variable}"),
        ([f"{key}=300", f"{key}=301"], {}, 301, "--set"),
    ]:
        config, origins = config_with_origins(guide, sets, environ)
        assert (config.serving.ann.topk, origins[key]) == (value, origin)


def test_values_are_yaml(guide: Path) -> None:
    sets = ["two_tower.user_tower={mlp: [32]}", "two_tower.item_tower.mlp=[16, 32]", "data.separators.tags=|"]
    config, origins = config_with_origins(guide, sets, {"CASCADE_DATA__POSITIVE": "rating >= 4"})
    assert config.two_tower.user_tower.mlp == [32]
    assert config.two_tower.user_tower.emb_dims == {}, "a mapping replaces what was there"
    assert config.two_tower.item_tower.mlp == [16, 32]
    assert config.data.separators == {"tags": "|"}
    assert config.data.positive == "rating >= 4"
    assert origins["two_tower.user_tower.mlp"] == "--set"


def test_an_override_below_an_overridden_section_keeps_both_origins(guide: Path) -> None:
    environ = {"CASCADE_TWO_TOWER__USER_TOWER__EMB_DIMS__GEO": "4"}
    _, origins = config_with_origins(guide, ["two_tower.user_tower={mlp: [64]}"], environ)
    assert origins["two_tower.user_tower.mlp"] == "--set"
    assert origins["two_tower.user_tower.emb_dims.geo"] == f"environment {next(iter(environ))}"


def test_an_environment_name_finds_a_column_of_any_case(tmp_path: Path) -> None:
    file = write(tmp_path, SMALL.replace("brand", "Brand") + "dlrm_ranker: {embedding_dims: {Brand: 8}}")
    config, _ = config_with_origins(file, environ={"CASCADE_DLRM_RANKER__EMBEDDING_DIMS__BRAND": "4"})
    assert config.dlrm_ranker.embedding_dims == {"Brand": 4}


def test_other_variables_are_not_config(guide: Path) -> None:
    config_with_origins(guide, environ={"CASCADE_FEATURE_REPO": "x", "CASCADE_CONFIG": "y", "HOME": "/"})


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("serving.ann.topkk=3", "serving.ann.topkk: no such key; did you mean serving.ann.topk? (--set)"),
        ("serving.topk=3", "serving.topk: no such key; did you mean serving.ann.topk? (--set)"),
        ("servin.x=3", "servin: no such key; did you mean serving? (--set)"),
        (
            "etl.zzz=3",
            "etl.zzz: no such key; valid here: scheduler, workers, memory_limit, device, min_frequency, text, "
            "max_size, hash_buckets, cross_buckets (--set)",
        ),
        ("serving.ann.topk=0", "serving.ann.topk: is 0, should be greater than or equal to 1 (--set)"),
        ("serving.ann.topk.x=1", "serving.ann.topk: is {'x': 1}, should be a valid integer (--set)"),
        ("serving.ann=3", "serving.ann: is 3, should be a mapping of keys (--set)"),
        ("schema.sparse=[item_id]", "schema.sparse: must hold user_id and item_id, lacks user_id (--set)"),
        ("history.seen=3", "history.seen: must be at least length (50), is 3 (--set)"),
        (
            "dlrm_ranker.history.heads=2",
            "dlrm_ranker.history.heads: applies only to dlrm_ranker.history.kind: target_attention, which is recency",
        ),
        (
            "dlrm_ranker.history.features=[genres]",
            "dlrm_ranker.history.features: applies only to dlrm_ranker.history.kind: target_attention, which is",
        ),
        (
            "dlrm_ranker.transitions.window=5",
            "dlrm_ranker.transitions.window: applies only if dlrm_ranker.transitions.last is above 0: set that, e.g.",
        ),
        (
            "dlrm_ranker.transitions.last=51",
            "dlrm_ranker.transitions.last: is 51, must be at most history.length, which is 50",
        ),
        (
            "dlrm_ranker.cross.rank=8",
            "dlrm_ranker.cross: applies only to dlrm_ranker.interactions: cross, which is dot: set that to cross",
        ),
        (
            "dlrm_ranker.labels={clik: {}}",
            "dlrm_ranker.labels.clik: 'clik' is not in data.labels; valid: label",
        ),
        ("dlrm_ranker.labels={label: {serve: 0}}", "dlrm_ranker.labels: at least one needs a serve above 0"),
        (
            "dlrm_ranker.list_weight=0.5",
            "dlrm_ranker.list_weight: applies only to dlrm_ranker.train_on: both, which is auto: set that to both",
        ),
        ("data.labels=[split]", "data.labels: 'split' has another meaning in interactions"),
        ("dlrm_ranker.top_mlp=[8, 3]", "dlrm_ranker.top_mlp: ends in 3, must end in 1 (one logit), e.g. [8, 3, 1]"),
        (
            "dlrm_ranker.embedding_dims.brnd=3",
            "dlrm_ranker.embedding_dims.brnd: 'brnd' is not in schema.sparse; did you mean 'brand'?",
        ),
        (
            "schema.crosses=[[brand, categoy]]",
            "schema.crosses[0]: 'categoy' is not in schema.sparse; did you mean 'category'?",
        ),
        ("schema.crosses=[[brand]]", "schema.crosses[0]: is ['brand'], a cross needs at least two different columns"),
        ("schema.dense=[brand]", "schema.dense and schema.sparse: both hold 'brand', a column is one or the other"),
        ("schema.text=[brand]", "schema.text and schema.sparse: both hold 'brand', a column has one role"),
        ("schema.vectors=[image, image]", "schema.vectors: holds 'image' twice"),
        ("etl.text.ngrams=[0]", "etl.text.ngrams: is [0], every length must be at least 1"),
        (
            "etl.text.encoder=minilm",
            "etl.text.encoder: schema.text is empty: name a text column of items there",
        ),
        ("schema.dense=[price, price]", "schema.dense: holds 'price' twice"),
        ("server.http_port=8001", "server.grpc_port and server.http_port: both are 8001; give each its own, or 0"),
        ("data.source=tables", "data.path: required with data.source: tables; the folder of interactions, users"),
        (
            "data={source: synthetic, path: t}",
            "data.path: is for data.source: tables, which is synthetic: set",
        ),
        ("dlrm_ranker.bottom_mlp=[0]", "dlrm_ranker.bottom_mlp: holds 0, every width must be at least 1"),
    ],
)
def test_an_error_names_key_value_and_remedy(guide: Path, override: str, line: str) -> None:
    lines = fails(guide, override)
    assert len(lines) == 1 and lines[0].startswith(line), lines


def test_a_wrong_choice_names_the_nearest(guide: Path) -> None:
    [line] = fails(guide, environ={"CASCADE_SERVING__ANN__TYPE": "hnws"})
    assert line.startswith("serving.ann.type: is 'hnws', should be 'auto', 'flat', 'ivf'")
    assert line.endswith("did you mean 'hnsw'? (environment CASCADE_SERVING__ANN__TYPE)")


def test_conflicts_name_both_keys(guide: Path) -> None:
    [towers, sizes] = fails(guide, "two_tower.user_tower.mlp=[32]", "serving.rerank.k=201")
    assert "two_tower.user_tower.mlp ends in 32 and two_tower.item_tower.mlp in 64" in towers
    assert "serving.rerank.k: is 201, serving.ann.topk is 200" in sizes


def test_orders_that_nothing_chooses_or_weighs(guide: Path) -> None:
    [weights] = fails(guide, "dlrm_ranker.order_by=fused", "dlrm_ranker.calibration=none")
    assert weights.startswith("dlrm_ranker.order_by: fused needs weights, which dlrm_ranker.calibration: none does not")
    [by] = fails(guide, "dlrm_ranker.order_by=dlrm", "dlrm_ranker.choose_by=recall@20")
    assert by.startswith("dlrm_ranker.choose_by: applies only to dlrm_ranker.order_by: auto, which is dlrm")


def test_several_labels_exclude_keys_of_a_single_label(guide: Path) -> None:
    sets = ("dlrm_ranker.labels={label: {}}", "dlrm_ranker.positive_weight=2", "dlrm_ranker.train_on=candidates")
    [candidates, weight] = fails(guide, *sets)
    assert candidates.startswith(
        "dlrm_ranker.labels: are learned from impressions, but dlrm_ranker.train_on is candidates"
    )
    assert weight.startswith("dlrm_ranker.positive_weight: applies to a single label, but dlrm_ranker.labels is given")


def test_the_width_of_gaps_needs_gaps(guide: Path) -> None:
    widths = ("two_tower.user_tower.emb_dims.history_gap=8", "dlrm_ranker.embedding_dims.history_gap=8")
    assert all("'history_gap' is not in schema.sparse" in line for line in fails(guide, *widths))
    config_with_origins(guide, [*widths, "history.gaps=true"], {})


@pytest.mark.parametrize("name", ["item_id", "history"])
def test_the_history_shares_the_item_towers_table(guide: Path, name: str) -> None:
    [line] = fails(guide, f"two_tower.user_tower.emb_dims.{name}=32")
    assert f"two_tower.user_tower.emb_dims.{name}: is 32, two_tower.item_tower.emb_dims.item_id 64" in line
    config_with_origins(guide, [f"two_tower.user_tower.emb_dims.{name}=64"], {})


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["two_tower.neg_sampling=hard", "two_tower.negatives.share=0.05"],
            "two_tower.negatives.share: 0.05 of two_tower.negatives.per_query 8 is less than one mined item",
        ),
        (
            ["two_tower.learn_temperature=true", "two_tower.temperature=2"],
            "two_tower.temperature: is 2, must lie between 0.01 and 1 with two_tower.learn_temperature: true",
        ),
        (["two_tower.negatives.share=0"], "two_tower.negatives.share: is 0, should be greater than 0"),
        (
            ["two_tower.negatives.shar=1"],
            "two_tower.negatives.shar: no such key; did you mean two_tower.negatives.share?",
        ),
    ],
)
def test_negatives_that_cannot_work(guide: Path, overrides: list[str], line: str) -> None:
    [found] = fails(guide, *overrides)
    assert found.startswith(line)


def test_baselines_of_impressions_need_impressions(guide: Path) -> None:
    named = "evaluation.baselines=[popularity, lightgbm, factorization_machine]"
    [line] = fails(guide, named, "dlrm_ranker.train_on=candidates")
    assert line == (
        "evaluation.baselines: lightgbm and factorization_machine predict logged impressions, but dlrm_ranker.train_on "
        "is candidates: leave them out, or set dlrm_ranker.train_on: impressions"
    )
    config_with_origins(guide, [named], {})
    config_with_origins(guide, ["dlrm_ranker.train_on=candidates"], {})


@pytest.mark.parametrize("loss", ["bpr", "softmax", "sampled_softmax"])
@pytest.mark.parametrize("sampling", ["in_batch", "mixed", "hard"])
def test_every_loss_takes_every_sampling(guide: Path, loss: str, sampling: str) -> None:
    config, _ = config_with_origins(guide, [f"two_tower.loss={loss}", f"two_tower.neg_sampling={sampling}"], {})
    assert (config.two_tower.loss, config.two_tower.neg_sampling) == (loss, sampling)


def test_crosses_may_have_a_width_of_their_own(guide: Path) -> None:
    config, _ = config_with_origins(guide, ["dlrm_ranker.embedding_dims.brand_category=4"], {})
    assert config.dlrm_ranker.embedding_dims["brand_category"] == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "p.yaml: expected sections such as schema and data, found nothing"),
        ("- 1", "p.yaml: expected sections such as schema and data, found a list"),
        ("a: [1\n b: 2", "p.yaml:2: expected ',' or ']', but got ':' (column 3)"),
        ("etl: {}\nhistory: {}\netl: {}", "p.yaml:3: etl is given twice, first in line 1"),
        ("two_tower: {}", "schema: required, and not given"),
        (SMALL + "data:\n", "data: is None, should be a mapping of keys (FILE:3)"),
        (SMALL + "etl:\n  wrokers: 3\n", "etl.wrokers: no such key; did you mean etl.workers? (FILE:4)"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, line: str) -> None:
    file = write(tmp_path, text)
    assert fails(file)[-1].endswith(line.replace("FILE", str(file)))


def test_no_file_and_no_text(tmp_path: Path) -> None:
    assert fails(tmp_path / "none.yaml") == [f"{tmp_path}/none.yaml: cannot be read: No such file or directory"]
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"a: \xff")
    assert fails(binary) == [f"{binary}: not UTF-8 text: byte 3"]


@pytest.mark.parametrize("text", ["serving.ann.topk", "=3", "serving..topk=3"])
def test_set_without_key_or_value(guide: Path, text: str) -> None:
    assert fails(guide, text)[0].startswith(f"--set {text}: expected key=value")


def test_data_path_is_relative_to_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, SMALL + "data: {source: tables, path: shop}")
    assert config_with_origins(file, environ={})[0].data.path == str(tmp_path / "shop")
    assert config_with_origins(file, ["data.path=/srv/shop"], {})[0].data.path == "/srv/shop"


def test_the_project_is_named_after_the_file(guide: Path) -> None:
    config, origins = config_with_origins(guide, environ={})
    assert config.feature_store.project == "guide"
    assert origins["feature_store.project"].startswith("default")
    assert config_with_origins(guide, ["feature_store.project=mine"], {})[0].feature_store.project == "mine"


@pytest.mark.slow
@given(st.text(min_size=1).filter(lambda s: s.strip(".") and "/" not in s and "\0" not in s))
def test_any_file_name_gives_an_identifier(stem: str) -> None:
    name = project_name(Path(f"{stem}.yaml"))
    assert name.isidentifier() and name.isascii() and name[0].isalpha()


def test_sections_by_dotted_key(guide: Path) -> None:
    config, _ = config_with_origins(guide, environ={})
    assert config.section("serving.ann") is config.serving.ann
    assert config.section("schema") is config.schema_
    assert config.section("serving.ann.topk").model_dump(mode="json") == 200


def test_keys_are_those_of_the_file() -> None:
    assert {"schema", "schema.sparse", "serving.ann.topk"} <= set(keys(PipelineConfig))


def test_text_and_vectors_have_widths_and_the_encoder_is_relative_to_the_file(guide: Path) -> None:
    sets = ["schema.text=[title]", "schema.vectors=[image]", "two_tower.item_tower.emb_dims={title: 8, image: 4}"]
    config, _ = config_with_origins(guide, [*sets, "etl.text.encoder=models/minilm"], {})
    assert config.etl.text.encoder == str(guide.parent / "models" / "minilm")


@pytest.mark.parametrize("key", ["serving.ann.topkk", "servin", "", "serving.ann.topk.more", "schema_"])
def test_a_key_that_is_not_there_is_named(guide: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: no such key; "):
        config_with_origins(guide)[0].value(key)


def test_a_section_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    assert fails(write(tmp_path, "serving: &a\n  ann: *a\n")) == [
        f"{tmp_path}/p.yaml: nested too deeply, or a section holds itself"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {csv: {delimiter: ';;'}}", r"data\.csv\.delimiter: expected one ASCII character, is ';;'; a tab is"),
        (
            r"data: {csv: {delimiter: '\t'}}",
            r"data\.csv\.delimiter: expected one ASCII character, is .*in double quotes",
        ),
        ("data: {csv: {decimal: ','}}", r"data\.csv\.decimal: is ',', as the delimiter is"),
        ("data: {csv: {encoding: latin1x}}", r"data\.csv\.encoding: 'latin1x' is no encoding of text"),
        ("data: {csv: {encoding: hex}}", r"data\.csv\.encoding: 'hex' is no encoding of text"),
        ("data: {types: {x: str}}", r"data\.types\.x: is 'str', should be 'int', 'float', 'text'"),
        ("data: {columns: {items.item_id: id}}", r"data\.columns: expected items: \{item_id: id\}"),
        ("feature_store: {redis: 'a:6379,b:6379'}", r"feature_store\.redis: expected one server, found several"),
        ("feature_store: {redis: 'a:26379,b:26379,sentinel_service=m'}", r"redis: .*Sentinel are not supported"),
        ("feature_store: {redis: 'a:26379,sentinel_master=m'}", r"'sentinel_master' is no option; Redis Cluster and"),
        (
            "feature_store: {redis: 'a:6379,cluster=true'}",
            r"'cluster' is no option; Redis Cluster and Sentinel are not",
        ),
        ("feature_store: {redis: 'redis://:secret@a:6379/0'}", r"redis: expected host:port, without redis://"),
        ("feature_store: {redis: cache}", r"feature_store\.redis: expected host:port, then options"),
        ("feature_store: {redis: 'cache:x'}", r"feature_store\.redis: expected host:port, then options"),
        ("feature_store: {redis: 'cache:6379,pasword=secret'}", r"feature_store\.redis: 'pasword' is no option"),
        ("feature_store: {redis: 'cache:6379,password=a,secret'}", r"feature_store\.redis: a part without = is no"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_runs(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{SMALL}{text}\n")
    with pytest.raises(ConfigError, match=message) as error:
        config_with_origins(file, environ={})
    assert "secret" not in str(error.value)


def test_a_connection_string_with_options(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{SMALL}feature_store: {{redis: 'cache.internal:6380,db=1,ssl=true,password=a=b:c'}}\n")
    config, _ = config_with_origins(file, environ={})
    assert config.feature_store.redis.startswith("cache.internal:6380")


def test_a_config_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{SMALL}serving: {{ann: {{topk: 99}}}}\n")
    secret = {"CASCADE_FEATURE_STORE__REDIS": "cache:1,password=S3cret,db=1"}
    config, _ = config_with_origins(file, environ=secret)
    assert config.given()["feature_store"]["redis"] == "cache:1,password=S3cret,db=1"
    assert config.given(secrets=False)["feature_store"]["redis"] == "cache:1,db=1"
    assert config.tree(secrets=False)["feature_store"]["redis"] == "cache:1,db=1"
    assert config.given(secrets=False)["serving"] == {"ann": {"topk": 99}}


def test_columns_of_slices_are_kept_unless_they_are_features(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{SMALL}evaluation: {{slices: [brand, color, age, label]}}\ndata: {{keep: [age, size]}}\n")
    config, _ = config_with_origins(file, environ={})
    assert config.data.keep == ["age", "size", "color"]
    file.write_text(f"{SMALL}evaluation: {{slices: [brand]}}\n")
    assert config_with_origins(file, environ={})[0].data.keep == []
