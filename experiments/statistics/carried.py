"""Whether one question causes most of an effect: then its mean says little about the others, whatever its interval.

If one question in ten causes a change, most samples of eight questions contain one or none, and no interval can show
what the sample does not contain. So the result says it, in addition to the intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..notes import doubt
from ..result import Note, Result
from .skewed import Array, Questions, clustered

HALF, FEWEST, LARGEST = 0.5, 5, 5


def carried(changes: Array, questions: Questions = None) -> Array:
    """changes [..., n] -> the share of the question that changed most in all absolute change; 0 if nothing changed."""
    sizes = np.abs(clustered(changes, questions)[0])
    total = sizes.sum(-1)
    return np.divide(sizes.max(-1), total, out=np.zeros_like(total), where=total > 0)


def with_carried(result: Result) -> Result:
    """The result, with the doubt `one_question` if one question of five or more causes more than half of one of the
    five largest effects on a metric; computed from the values of the prompts, if they were kept."""
    asked = result.arrays.get("questions")
    if asked is None or len(set(asked.tolist())) < FEWEST:
        return result
    found: list[str] = []
    for metric in dict.fromkeys(effect.metric for effect in result.effects):
        effects = [effect for effect in result.effects if effect.metric == metric]
        values: Any = result.arrays.get(metric)
        if values is None or values.shape != (1 + len(effects), len(asked)):
            continue
        shares = carried((values[1:] - values[0]).astype(float), [str(one) for one in asked])
        strongest = sorted(range(len(effects)), key=lambda i: -abs(effects[i].value))[:LARGEST]
        found += [f"{effects[i].site} on {metric} ({shares[i]:.2f})" for i in strongest if shares[i] > HALF]
    if not found:
        return result
    found_doubt = doubt("one_question", places=", ".join(found))
    notes = (*result.notes, Note(code=found_doubt.code, text=found_doubt.text))
    return result.model_copy(update={"doubts": (*result.doubts, found_doubt), "notes": notes})
