"""``TF_CONFIG``, TensorFlow's own variable: the addresses of all workers, and which of them this process is.

https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import ConfigError

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")
"""Those that train, in the order in which they are counted."""
EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Place:
    """One worker among several."""

    addresses: tuple[str, ...]
    """``host:port`` of each, the chief's first."""
    index: int
    """Of this one."""

    @property
    def on_this_machine(self) -> int:
        """How many of them have this one's host."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts.count(hosts[self.index])


def place(environment: Mapping[str, str]) -> Place | None:
    """What ``TF_CONFIG`` says; None without it, or where it tells of one worker.

    Raises:
        ConfigError: if it cannot be understood, or is of another kind of cluster.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    try:
        found = json.loads(text)
        cluster, kind, index = found["cluster"], found["task"]["type"], int(found["task"]["index"])
        known = {str(job): list(map(str, addresses)) for job, addresses in cluster.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{VARIABLE}: is {text!r}, expected e.g. {EXAMPLE}") from None
    if others := sorted(known.keys() - set(JOBS)):
        raise ConfigError(f"{VARIABLE}: has {', '.join(others)}, training is done by {' and '.join(JOBS)} alone")
    if kind not in known or not 0 <= index < len(known[kind]):
        raise ConfigError(f"{VARIABLE}: its task is {kind} {index}, its cluster has none")
    counted = [(job, at) for job in JOBS for at in range(len(known.get(job, ())))]
    addresses = tuple(known[job][at] for job, at in counted)
    return Place(addresses, counted.index((kind, index))) if len(addresses) > 1 else None


def tf_config(addresses: Sequence[str], index: int) -> str:
    """``TF_CONFIG`` of one worker."""
    told: dict[str, Any] = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    return json.dumps(told)
