"""The limit on open files, in a process of its own."""

import subprocess
import sys

import pytest

CODE = """
import logging, resource, subprocess, sys
from cascade.core.processes import raise_file_limit

logging.basicConfig(stream=sys.stdout, format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
raise_file_limit()
subprocess.run(["sh", "-c", "ulimit -Sn"])
"""


@pytest.mark.parametrize(("soft", "hard", "warning"), [(256, 9000, False), (9000, 9000, False), (256, 1024, True)])
def test_children_inherit_the_raised_limit(soft: int, hard: int, warning: bool) -> None:
    command = [sys.executable, "-c", CODE, str(soft), str(hard)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == str(hard)
    assert ("at most 1024 open files are allowed" in printed) == warning
