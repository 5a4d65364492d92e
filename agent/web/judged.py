"""Hypotheses with the program's verdicts, for every page that shows them."""

from __future__ import annotations

from collections.abc import Sequence

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Hypothesis
from ...tools.evidence.verdict import JudgedHypothesis, verdicts, with_verdicts


def judged(reader: Reader, rows: Sequence[Hypothesis]) -> list[JudgedHypothesis]:
    """Hypotheses and predictions with their verdicts; reads the hypotheses of each run once."""
    of_run = {
        run: verdicts(reader.hypotheses_of(None if run is None else parse_id(run)[1]))
        for run in dict.fromkeys(row.run for row in rows)
    }
    return [with_verdicts(row, of_run[row.run]) for row in rows]
