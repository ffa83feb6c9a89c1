"""Two instances of a served model map the same files, and share one copy of their pages."""

from pathlib import Path

import numpy as np
import pytest

from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs

INSTANCES = 2
MAPPED = ("item_vectors.npy", "item_slots.npy", "item_share.npy", "index.faiss")


def mappings(pid):
    """File name -> kB of resident, proportional and private dirty pages that the process maps of it."""
    found, name = {}, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            name = words[5].rpartition("/")[2] if len(words) > 5 else ""
        elif name in MAPPED and words[0] in ("Rss:", "Pss:", "Private_Dirty:"):
            sizes = found.setdefault(name, {"Rss:": 0, "Pss:": 0, "Private_Dirty:": 0})
            sizes[words[0]] += int(words[1])
    return found


@pytest.fixture(scope="module")
def stubs(movielens):
    config = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=INSTANCES, standby=False)
    server = TritonServer(movielens.model_repository, "cascade", feature_repo=movielens.feature_repo, config=config)
    with server:
        yield [mappings(stub.process.pid) for stub in running_stubs(server.pid)]


@pytest.mark.parametrize("name", MAPPED)
def test_the_instances_share_one_copy(stubs, name):
    assert len(stubs) == INSTANCES
    for stub in stubs:
        assert stub[name]["Rss:"] > 0
        assert stub[name]["Private_Dirty:"] == 0
    # Loading warms each of them up, so both have touched the pages; half of each page is counted to either.
    resident, proportional = (np.sum([stub[name][kind] for stub in stubs]) for kind in ("Rss:", "Pss:"))
    assert proportional <= 0.75 * resident
