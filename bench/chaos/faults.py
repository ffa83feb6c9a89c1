"""Kills and freezes each process of a server in turn, under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...core.errors import ServerError
from ...core.text_table import table
from ...ensemble.server.server import TritonServer
from ...ensemble.server.status import ServerStatus
from ...ensemble.server.stubs import running_stubs
from .steady_load import Noticed, SteadyLoad

HEALED_S = 300.0
"""Seconds after which a server that is not whole again counts as lost."""
GATEWAY = "gateway"
_SPARE_S = 3.0
"""Seconds in which the gateway gets another spare process."""
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
HEAD = (
    "fault",
    "process",
    "times",
    "longest gap s",
    "median gap s",
    "whole again s",
    "in flight",
    "failed",
    "false ready",
)


@dataclass(frozen=True)
class Fault:
    """One process that was killed or frozen."""

    signal: signal.Signals
    process: str
    """``tritonserver``, ``gateway``, or ``instance`` and its number."""
    noticed: Noticed
    healed_s: float
    """Seconds until the server was whole again."""


def break_everything(
    server: TritonServer,
    load: SteadyLoad,
    times: int,
    on_fault: Callable[[Fault], None] = lambda fault: None,
    *,
    gateway: bool = False,
) -> list[Fault]:
    """SIGKILL and SIGSTOP of each process of a running server, ``times`` times each.

    Args:
        gateway: break the HTTP gateway, and not the processes behind it; ``load`` must come over HTTP.

    Raises:
        ServerError: if the server does not get whole again.
    """
    faults = []
    names = [GATEWAY] if gateway else _processes(server)
    for _ in range(times):
        for sign in SIGNALS:
            for name in names:
                _await_standby(server)
                time.sleep(_SPARE_S if gateway else 0)
                faults.append(_break(server, load, sign, name))
                on_fault(faults[-1])
    return faults


def kinds(server: TritonServer) -> int:
    """The number of different faults: each signal to each process, and to the gateway."""
    return len(SIGNALS) * (len(_processes(server)) + 1)


def _processes(server: TritonServer) -> list[str]:
    return [*(f"instance {at}" for at in range(len(running_stubs(server.pid)))), "tritonserver"]


def _await_standby(server: TritonServer) -> None:
    until = time.monotonic() + HEALED_S
    while server.config.standby and not server.standby_ready():
        if time.monotonic() > until:
            raise ServerError(f"no standby is ready after {HEALED_S:.0f} s")
        time.sleep(0.1)


def _break(server: TritonServer, load: SteadyLoad, sign: signal.Signals, name: str) -> Fault:
    stubs = sorted(stub.pid for stub in running_stubs(server.pid))
    others = {"tritonserver": lambda: server.pid, GATEWAY: lambda: server.gateway_pid}
    pid = others[name]() if name in others else stubs[int(name.split()[1])]
    in_flight, start = load.in_flight(), time.monotonic()
    os.kill(pid, sign)
    while True:
        time.sleep(0.05)
        now = time.monotonic()
        if now - start > 0.3 and ServerStatus.read(server.status_file).ready and load.answers_since(start):
            break
        if now - start > HEALED_S:
            raise ServerError(f"{name}: {sign.name}: the server is not whole again after {HEALED_S:.0f} s")
    time.sleep(1.2)  # what a dead process holds fails after a second
    return Fault(sign, name, load.noticed(start, in_flight), now - start)


def as_text(faults: Sequence[Fault]) -> str:
    """A table with a row for each signal and process."""
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.signal.name, fault.process), []).append(fault)
    sides = ["left", "left", *["right"] * (len(HEAD) - 2)]
    return table(HEAD, [_row(sign, process, group) for (sign, process), group in groups.items()], sides)


def _row(sign: str, process: str, group: Sequence[Fault]) -> list[str]:
    noticed = [fault.noticed for fault in group]
    gaps = sorted(one.gap_s for one in noticed)
    return [
        sign,
        process,
        str(len(group)),
        f"{gaps[-1]:.2f}",
        f"{gaps[len(gaps) // 2]:.2f}",
        f"{max(fault.healed_s for fault in group):.1f}",
        str(max(one.in_flight for one in noticed)),
        str(max(one.failed for one in noticed)),
        str(sum(one.false_ready for one in noticed)),
    ]
