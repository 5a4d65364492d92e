"""An experiment as short text for a language model: its id, what was found, the numbers.

No answer is longer than LIMIT characters; the model can ask for the rest. A subject's answers are quoted
and cut, so that a model can only read them as data.
"""

from __future__ import annotations

import json

from ...db.records import Effect, Experiment, Measurement
from ..report.numbers import number, p_number

LIMIT = 3000
REFUSAL = 8000
CONFIGURATION = 800
STRONGEST = 12
SAMPLES = 4


def experiment_text(e: Experiment, effects: int = STRONGEST, samples: int = SAMPLES) -> str:
    """The text of an experiment, as `Reader.experiment` returns it."""
    config = {k: v for k, v in e.config.items() if v is not None}
    lines = [f"{e.id} {e.kind} {cut(json.dumps(config, ensure_ascii=False), CONFIGURATION, '…')}: {e.status}"]
    if e.status == "failed":
        lines.append(f"{e.error_type}: {e.error}")
        return "\n".join(lines)
    lines.append(e.found or "")
    for m in e.measurements:
        lines.append(f"  {m.name} {valued(m)}")
    # With several metrics, the first is the one that was asked for; `found` reports the others.
    asked = [row for row in e.effects if row.metric == e.effects[0].metric]
    ranked = sorted(asked, key=lambda row: -abs(row.value))
    if ranked:
        shown = ranked[:effects]
        lines.append(f"Effects on {shown[0].metric}, largest {len(shown)} of {len(ranked)}:")
        for row in shown:
            lines.append(f"  {row.site} {valued(row)}{tested(row)}")
    for s in e.samples[:samples]:
        after = f", then {quoted(s.changed)}" if s.changed is not None else ""
        lines.append(f"  prompt ...{quoted(s.prompt[-40:])} expected {quoted(s.expected)} said {quoted(s.said)}{after}")
    lines += [f"Note: {note}" for note in e.notes]
    return cut("\n".join(line for line in lines if line))


def valued(row: Measurement | Effect) -> str:
    interval = f" [{number(row.low)}, {number(row.high)}]" if row.low is not None and row.high is not None else ""
    n = f", n = {row.n}" if row.n else ""
    unit = f" {row.unit}" if isinstance(row, Measurement) and row.unit else ""
    return f"{number(row.value)}{interval}{unit}{n}"


def tested(row: Effect) -> str:
    """The evidence for an effect: its corrected p, and the share of matched random places that it exceeds."""
    q = f", q {p_number(row.q)}" if row.q is not None else ""
    return q if row.percentile is None else f"{q}, above {number(row.percentile)}% of places"


def quoted(text: str, most: int = 60) -> str:
    return json.dumps(text if len(text) <= most else text[:most] + "…", ensure_ascii=True)


REST = "(cut; ask for the rest with show_experiment or query_tracker)"


def cut(text: str, most: int = LIMIT, rest: str = REST) -> str:
    return text if len(text) <= most else text[: most - len(rest) - 1].rsplit("\n", 1)[0] + f"\n{rest}"
