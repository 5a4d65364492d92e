"""The data that a page shows: texts and tables by name, and a number with its interval and its p-values."""

from __future__ import annotations

from ...db.records import Effect, Judgement, Measurement
from .numbers import number, p_number, value_parts

# The data of a template: texts and tables, by name.
Shown = dict[str, object]


def measured(row: Measurement | Effect | Judgement, name: str) -> dict[str, str]:
    """A number under a name, as separate texts: value, interval, n, p, q and percentile."""
    effect = row if isinstance(row, Effect) else None
    p = None if isinstance(row, Measurement) else row.p
    q, percentile = (None, None) if effect is None else (effect.q, effect.percentile)
    main, rest = value_parts(row.value, row.low, row.high, unit=row.unit if isinstance(row, Measurement) else "")
    return {
        "name": name,
        "main": main,
        "rest": rest.strip(),
        "n": "" if row.n is None else number(row.n),
        "p": "" if p is None else p_number(p),
        "q": "" if q is None else p_number(q),
        "percentile": "" if percentile is None else f"{number(percentile)}%",
    }
