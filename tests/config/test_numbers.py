"""Numbers of the config."""

import pytest

from cascade.config.load import config_of
from cascade.core.errors import ConfigError


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_number_is_finite(value: float) -> None:
    given = {"schema.sparse": ["user_id", "item_id"], "two_tower.training.learning_rate": value}
    with pytest.raises(ConfigError, match=rf"^two_tower.training.learning_rate: is {value}, should be "):
        config_of(None, given, {})
