"""What the gates say of a release, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.text_table import table

if TYPE_CHECKING:
    from ...rollout.gates.verdict import GateReport

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
"""State of a report -> exit code; 2 is that of mistakes in the command."""


def report_text(report: GateReport) -> str:
    """One line for each gate, and what all of them say."""
    rows = [(verdict.gate, verdict.state, verdict.text) for verdict in report.verdicts]
    return f"{table(('gate', '', 'why'), rows)}\n\n{summary(report)}"


def judgement_text(report: GateReport) -> str:
    """The same at the end of a run, with what follows from it."""
    follows = {
        "pass": "",
        "fail": "\nIt should not answer users, and `cascade release promote` refuses it. *Judge a release* in the "
        "documentation says what to do for each gate.",
        "inconclusive": "\n`cascade release promote` holds it until these gates can tell; see *Judge a release* in the "
        "documentation.",
    }
    return report_text(report) + follows[report.state]


def summary(report: GateReport) -> str:
    """What all gates say, in one line."""
    against = f"compared with {report.live}" if report.live else "no other release is live to compare it with"
    names = ", ".join(report.of(report.state)) if report.state != "pass" else f"{len(report.verdicts)} gates"
    return f"release {report.candidate}: {report.state} ({names}); {against}"
