"""The report that the program writes when nobody else did: what was tried and what came out, no interpretation."""

from __future__ import annotations

from ...db.read import Reader


def default_source(reader: Reader, run: int, why: str) -> str:
    """A source with slots for every finished experiment of the run."""
    row = reader.run(run)
    lines = [
        f"# {' '.join(row['goal'].split())}",
        "",
        f"*This report was written by the program, because the study ended before its author wrote one.* `{why[:300]}`",
        "",
    ]
    done = [e for e in reader.experiments(run=run) if e["status"] == "done"]
    if not done:
        return "\n".join([*lines, "No experiment finished, so there is nothing to report."])
    lines += ["## What came out", ""]
    for e in done:
        lines += [f"**{e['id']}** {e['kind']} on {e['task']}: {{{{{e['id']}.found}}}}", ""]
        if any(True for f in reader.experiment(int(e["id"][1:]))["figures"]):
            lines += [f"{{{{{e['id']}.figure}}}}", ""]
    return "\n".join(lines)
