"""Errors of Triton, as clients see them."""

import pytest

from cascade.ensemble.gateway.refusals import Refusal, public
from cascade.ensemble.gateway.shared_memory import check_key
from cascade.ensemble.server.shared_memory import new_prefix

REGION = "3f8a_4fcdb2d8-2fa7-4f6d-8a2e-6d7b0fbe1d11"


@pytest.mark.parametrize(
    "prefix", [new_prefix(), "triton_python_backend_shm_region_", "/" + new_prefix()], ids=["ours", "triton", "slash"]
)
def test_a_region_is_never_named(prefix):
    """As in CVE-2025-23319 and CVE-2025-23320."""
    name = prefix + REGION
    text = public(f"Failed to increase the shared memory pool size for key '{name}' to 134 bytes. Error: no space")
    assert REGION not in text and prefix not in text
    assert text.startswith("Failed to increase the shared memory pool size for key '(a region)' to 134 bytes")


def test_a_traceback_is_cut_off():
    text = "ValueError: no\n\nAt:\n  /models/model.py(12): execute\n"
    assert public(text) == "ValueError: no"


@pytest.mark.parametrize("key", ["cascade-client-a", "/cascade-client-tensors.1"])
def test_regions_of_clients_may_be_registered(key):
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        None,
        1,
        "",
        "/a",
        pytest.param(new_prefix() + REGION, id="a stub's"),
        "cascade-client-",
        "cascade-client-a/../b",
        "../cascade-client-a",
        "//cascade-client-a",
        "cascade-client-a\n",
        "cascade-client-\0",
        "cascade-client-" + "a" * 300,
        "psm_cascade-client-a",
    ],
)
def test_other_regions_may_not(key):
    with pytest.raises(Refusal, match="begins with cascade-client-") as refused:
        check_key(key)
    assert refused.value.status == 403
