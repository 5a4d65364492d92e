"""Why "it does not matter" can never rest on a number that compares an edit with its random controls.

An edit that does no more than its controls may still do much: where the controls break the model, the edit may break
it as well. The model can spare a part only if the change itself is small, on both sides of zero.
"""

from __future__ import annotations

from ...experiments.metrics import metrics
from .conditions import Bound

# The side of a bound that means little damage: below it, or above it.
_BELOW, _ABOVE = {"excess": 0.0, "percentile": 50.0}, ("control_rank", "control_p")


def rests_on_controls(bound: Bound, metric: str = "") -> str:
    """One line that says why the bound shows no equivalence, and which bound would; "" for a bound that claims none.

    metric  what the experiment measures, to name its change
    """
    terms = [bound.quantity.first, *([] if bound.quantity.second is None else [bound.quantity.second])]
    compared = {term.name for term in terms if term.name in _BELOW or term.name in _ABOVE}
    if not compared:
        return ""
    if len(terms) == 1:
        name = terms[0].name
        more_than_controls = (
            bound.low is not None and bound.low >= _BELOW[name] if name in _BELOW else bound.comparison == "below"
        )
        if more_than_controls:
            return ""
    known = metrics()
    change = known[metric].change if metric in known else "the change of the metric"
    return (
        f"{bound.text} does not show that anything can be spared: its random controls may do as much damage. Use the "
        f"change itself, with a bound on both sides of zero: {change} between -0.1 and 0.1."
    )
