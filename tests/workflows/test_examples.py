"""The examples fit the data sets that they are written for."""

from pathlib import Path

import pytest

from cascade.config.load import config_with_origins
from cascade.workflows.tables.raw_features import raw_features

EXAMPLES = Path(__file__).parents[2] / "examples"
IDS = {"user_id": "int", "item_id": "int", "timestamp": "int"}
ML_1M = {
    "interactions": {**IDS, "rating": "int"},
    "users": {"user_id": "int", "gender": "string", "age": "int", "occupation": "int", "zip": "string"},
    "items": {"item_id": "int", "title": "string", "genres": "list_string", "year": "int"},
}
FEEDBACK = ["is_click", "long_view", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "play_time_ms"]
NUMBERS = ["is_lowactive_period", "is_live_streamer", "is_video_author"]
COUNTS = ["follow_user_num", "fans_user_num", "friend_user_num", "register_days"]
TEXTS = ["user_active_degree", *(f"{name}_range" for name in COUNTS)]
KUAIRAND = {
    "interactions": {**IDS, **dict.fromkeys(["time_ms", "hourmin", "tab", "duration_ms", *FEEDBACK], "int")},
    "users": {
        **dict.fromkeys(["user_id", *NUMBERS, *COUNTS, *(f"onehot_feat{number}" for number in range(18))], "int"),
        **dict.fromkeys(TEXTS, "string"),
    },
    "items": {
        **dict.fromkeys(["item_id", "author_id", "music_id"], "int"),
        **dict.fromkeys(["visible_status", "video_duration", "server_width", "server_height", "music_type"], "float"),
        **{**dict.fromkeys(["video_type", "upload_dt", "upload_type"], "string"), "tag": "list_string"},
    },
}
SHOP = {
    "interactions": {**IDS, "session_time": "float", "device": "string", "label": "int"},
    "users": {"user_id": "int", "age_norm": "float", "geo": "string"},
    "items": {
        **{"item_id": "int", "brand": "string", "category": "string"},
        **{"price": "float", "discount": "float"},
    },
}
KINDS = {
    "ml-1m.yaml": ML_1M,
    "ml-1m-ranking.yaml": ML_1M,
    "kuairand.yaml": KUAIRAND,
    "beauty.yaml": {
        "interactions": IDS,
        "users": {"user_id": "int"},
        "items": {"item_id": "int", "attributes": "list_int"},
    },
    "shop.yaml": SHOP,
    "shop-10m.yaml": SHOP,
}


def test_every_example_is_here():
    assert {file.name for file in EXAMPLES.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_reads_and_fits_its_tables(name):
    sets = [] if name.startswith("shop") else ["data.path=anywhere"]
    config, _ = config_with_origins(EXAMPLES / name, sets, environ={})
    found = {feature.name for feature in raw_features(config.section("schema"), KINDS[name])}
    embedded = set(config.two_tower.user_tower.emb_dims) | set(config.two_tower.item_tower.emb_dims)
    assert embedded <= found


def test_what_is_known_only_afterwards_is_no_feature():
    config, _ = config_with_origins(EXAMPLES / "kuairand.yaml", ["data.path=anywhere"], environ={})
    assert not {*FEEDBACK, "time_ms", "timestamp"} & {*config.schema_.sparse, *config.schema_.dense}
