"""Settings of TensorFlow, which it reads when it is imported."""

import subprocess
import sys

import pytest

MEASURE = """
import psutil
from cascade.models._merlin import tf

def taken():
    return psutil.Process().memory_info().rss

tf.ones([8, 8]) @ tf.ones([8, 8])
before = taken()
large = tf.ones([10_000, 10_000])
held = taken() - before
del large
print(held, taken() - before)
"""


@pytest.mark.slow
def test_memory_of_tensors_goes_back_to_the_system():
    """400 MB, of which TensorFlow's own allocator would keep all."""
    found = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout.split()
    held, kept = map(int, found[-2:])
    assert held > 390_000_000 and kept < 50_000_000
