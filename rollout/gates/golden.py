"""Whether a release still answers the requests that it recorded at its export: offline, and where it is served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...core.errors import CascadeError
from ...ensemble.graph.executor import Executor
from ...ensemble.protocol.recommendation import Recommendation
from ...ensemble.protocol.same_answer import difference
from ...ensemble.repository.golden import Golden
from ..config import GatesConfig
from .verdict import GateVerdict, judged

NAME = "golden requests"
_NAMED = 3
"""Requests to name in a text."""


def golden_verdict(golden: Golden, executor: Executor, config: GatesConfig) -> GateVerdict:
    """Figures: see `compared`. Users have the features that the requests saw when they were recorded."""
    try:
        answers = golden.ask(executor)
    except Exception as error:  # a release may be wrong in any way, and its models raise errors of their own
        text = " ".join(str(error).split()) if isinstance(error, CascadeError) else type(error).__name__
        return GateVerdict(NAME, "fail", f"it cannot answer what it has answered at its export: {text}")
    return compared(NAME, golden, answers, golden.recorded, config, "at its export")


def compared(
    gate: str,
    golden: Golden,
    answers: Sequence[Recommendation],
    own: Sequence[Recommendation],
    config: GatesConfig,
    where: str,
) -> GateVerdict:
    """The verdict on answers to golden requests.

    Figures: ``asked`` requests; those that ``differ``, and in what.

    Args:
        own: the right answers.
        where: they were given, in words.
    """
    found = [difference(*each) for each in zip(answers, own, strict=True)]
    wrong = [(at, what) for at, what in enumerate(found) if what]
    counts = Counter[str](what for _, what in wrong)
    figures: dict[str, float | None] = {"asked": len(found), "differ": len(wrong), **counts}
    named = [f"request {at} ({golden.requests.kinds[at]}): other {what}" for at, what in wrong[:_NAMED]]
    faults = []
    if len(wrong) > config.max_golden_differ * len(found):
        faults = [f"{len(wrong):,} of {len(found):,} answers are not those {where}: {'; '.join(named)}"]
    return judged(gate, faults, f"{len(found) - len(wrong):,} of {len(found):,} answers are those {where}", figures)
