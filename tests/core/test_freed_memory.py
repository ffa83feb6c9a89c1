"""What a process keeps of the memory that it frees."""

import os
import subprocess
import sys

from cascade.core.processes import LEAN_HEAP

PROGRAM = """
import resource, sys
import numpy as np
from cascade.core.processes import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(3 * 2**19, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(sum(faults() for _ in range(10)))
"""


def faults(how: str) -> int:
    """Pages that are made ready when an array of 384 pages is made and freed ten times, after a first one."""
    environment = {**os.environ, **LEAN_HEAP}
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)


def test_an_instance_keeps_its_memory_and_the_server_gives_it_back() -> None:
    assert faults("server") > 3_000
    assert faults("keep") < 300
