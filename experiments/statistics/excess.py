"""The damage of a set beyond random sets of its kind, with its interval.

Both the questions and the sets were drawn at random. The variances of both draws add up, and so do their third moments:
if a few sets do much damage, the lower end is longer, because other sets may do as much. The number of independent
values is the number of questions or of sets, whichever is smaller.
"""

from __future__ import annotations

import math

import numpy as np

from .skewed import Array, Moments, Questions, clustered, moments, skewness, standard_error


def excess_interval(
    values: Array, others: Array, questions: Questions = None
) -> tuple[float, float | None, float | None]:
    """The mean of values [n] minus that of others [set, n], with low and high. There is no interval with one question
    or one set."""
    excess = float(values.mean() - others.mean())
    asked, sets = len(clustered(values, questions)[1]), len(others)
    if min(asked, sets) < 2:
        return excess, None, None
    own = moments(values - others.mean(0), questions)
    beside = others.mean(1) - others.mean()
    errors, count = (float(own.error), float(standard_error(beside))), min(asked, sets)
    error = math.hypot(*errors)
    third = float(own.skewness) * errors[0] ** 3 / math.sqrt(asked)
    third -= float(skewness(beside)) * errors[1] ** 3 / math.sqrt(sets)
    lean = third / error**3 * math.sqrt(count) if error > 0 else 0.0
    both = Moments(np.array(excess), np.array(error), np.array(lean), count)
    return excess, float(both.end(-1)), float(both.end(1))
