"""What a stage may take, and the refusal of one that needs more."""

import psutil
import pytest

from cascade.core import memory
from cascade.core.errors import ConfigError
from cascade.core.memory import MemoryNeed, available, check_need, give_back, limited_to

NEED = MemoryNeed({"3 rows": 1_000_000, "scores": 5_000_000_000}, "lower evaluation.max_users")


@pytest.mark.parametrize(("limit", "expected"), [("3000", 2000), ("max", None)])
def test_a_control_groups_limit_counts(limit, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available() == expected if expected else available() > 1_000_000


def test_what_fits_passes(monkeypatch):
    monkeypatch.setattr(memory, "_free", lambda: 5_001_000_000)
    check_need("evaluation", NEED)


def test_a_refusal_names_stage_need_limit_and_keys(monkeypatch):
    monkeypatch.setattr(memory, "_free", lambda: 5_000_999_999)
    message = (
        r"stage evaluation: needs about 5.00 GB of memory, 5.00 GB are available \(scores 5.00 GB, 3 rows 0.00 GB\): "
        "lower evaluation.max_users, or take a machine with more memory$"
    )
    with pytest.raises(ConfigError, match=message):
        check_need("evaluation", NEED)


def test_the_limit_that_is_given_counts_if_it_is_less(monkeypatch):
    monkeypatch.setattr(memory, "_free", lambda: 9_000_000_000)
    with limited_to(4_000_000_000):
        assert available() == 4_000_000_000
        with pytest.raises(ConfigError, match=r"5.00 GB of memory, 4.00 GB are allowed by etl.memory_limit"):
            check_need("evaluation", NEED)
        monkeypatch.setattr(memory, "_free", lambda: 2_000_000_000)
        with pytest.raises(ConfigError, match="2.00 GB are available"):
            check_need("evaluation", NEED)
    monkeypatch.setattr(memory, "_free", lambda: 9_000_000_000)
    check_need("evaluation", NEED)


def test_freed_memory_goes_back_to_the_system():
    blocks = [bytes(2000) for _ in range(50_000)]
    blocks.append(blocks)  # a cycle
    last, before = bytes(2000), psutil.Process().memory_info().rss
    del blocks
    give_back()
    assert last
    assert before - psutil.Process().memory_info().rss > 50_000_000
