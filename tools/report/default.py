"""The report that the program writes when nobody else did: what was tried and what came out, no interpretation."""

from __future__ import annotations

import re

from ...db.read.reader import Reader


def default_source(reader: Reader, run: int, why: str) -> str:
    """A source with slots for every finished experiment of the run."""
    # No title: the goal may hold anything, and is set as the title where there is none.
    reason = " ".join(re.sub(r"[`{}]", "", why).split())[:300]
    lines = [
        "*This report was written by the program, because the study ended before its author wrote one.*",
        "",
        f"`{reason}`",
        "",
    ]
    done = [e for e in reader.experiments(run=run) if e.status == "done"]
    if not done:
        return "\n".join([*lines, "No experiment finished, so there is nothing to report."])
    lines += ["## What came out", ""]
    for e in done:
        lines += [f"**{e.id}** {e.kind} on `{e.task}`: {{{{{e.id}.found}}}}", ""]
        if reader.experiment(int(e.id[1:])).figures:
            lines += [f"{{{{{e.id}.figure}}}}", ""]
    return "\n".join(lines)


def source_of(reader: Reader, run: int) -> str:
    """The report's source, or one that says what there is and why nobody wrote more."""
    return reader.report(run) or default_source(reader, run, why_none(reader, run))


def why_none(reader: Reader, run: int) -> str:
    """Why a run has no report of its own, in a sentence."""
    row = reader.run(run)
    if row.status == "running":
        return "The study is still running; this is what there is so far."
    if row.status != "stopped":
        return row.error or "No report was written."
    half = [e.id for e in row.experiments if e.status == "interrupted"]
    cut = f", in the middle of {' and '.join(half)}" if half else ""
    return f"The program that ran this study was stopped (by a second Ctrl-C, killed, or the machine went down){cut}."
