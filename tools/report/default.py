"""The report that the program writes when nobody else did: experiments and results, without interpretation."""

from __future__ import annotations

import re

from ...db.read.reader import Reader


def default_source(reader: Reader, run: int, why: str) -> str:
    """A source with slots for every finished experiment of the run."""
    # No title: then the goal becomes the title, whatever it contains.
    reason = " ".join(re.sub(r"[`{}]", "", why).split())[:300]
    lines = [
        "*The program wrote this report because the study ended before its author wrote one.*",
        "",
        f"`{reason}`",
        "",
    ]
    done = [e for e in reader.experiments(run=run) if e.status == "done"]
    if not done:
        return "\n".join([*lines, "No experiment finished, so there is nothing to report."])
    lines += ["## Results", ""]
    for e in done:
        lines += [f"**{e.id}** {e.kind} on `{e.task}`: {{{{{e.id}.found}}}}", ""]
        if reader.experiment(int(e.id[1:])).figures:
            lines += [f"{{{{{e.id}.figure}}}}", ""]
    return "\n".join(lines)


def source_of(reader: Reader, run: int) -> str:
    """The report's source, or a default one that lists the results and says why nobody wrote a report."""
    return reader.report(run) or default_source(reader, run, why_none(reader, run))


def why_none(reader: Reader, run: int) -> str:
    """Why a run has no report of its own, in one sentence."""
    row = reader.run(run)
    if row.status == "running":
        return "The study is still running; these are its results so far."
    if row.status != "stopped":
        return row.error or "The study has no report."
    half = [e.id for e in row.experiments if e.status == "interrupted"]
    cut = f", in the middle of {' and '.join(half)}" if half else ""
    return f"The process that ran this study stopped (a second Ctrl-C, a kill, or a crash of the machine){cut}."
