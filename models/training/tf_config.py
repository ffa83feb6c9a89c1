"""``TF_CONFIG``: the environment variable that tells TensorFlow the workers' addresses and which one a process is.

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
"""The jobs that train, in the order in which their tasks are numbered."""
EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class ClusterTask:
    """One worker of a cluster."""

    addresses: tuple[str, ...]
    """``host:port`` of each worker, the chief's first."""
    index: int
    """This worker's position among the addresses."""

    @property
    def on_this_machine(self) -> int:
        """Number of workers with the same host as this one, itself included."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts.count(hosts[self.index])


def cluster_task(environment: Mapping[str, str]) -> ClusterTask | None:
    """Read ``TF_CONFIG``; None if it is not set or names only one worker.

    Raises:
        ConfigError: if it is not valid JSON of the expected form, has jobs other than chief and worker, or describes a
            task that its cluster does not have.
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
        raise ConfigError(f"{VARIABLE}: has {', '.join(others)}, only {' and '.join(JOBS)} are supported")
    if kind not in known or not 0 <= index < len(known[kind]):
        raise ConfigError(f"{VARIABLE}: its task is {kind} {index}, its cluster has none")
    tasks = [(job, number) for job in JOBS for number in range(len(known.get(job, ())))]
    addresses = tuple(known[job][number] for job, number in tasks)
    return ClusterTask(addresses, tasks.index((kind, index))) if len(addresses) > 1 else None


def tf_config(addresses: Sequence[str], index: int) -> str:
    """The value of ``TF_CONFIG`` for one worker: ``addresses`` (host:port) of all, and its ``index`` among them."""
    config: dict[str, Any] = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    return json.dumps(config)
