"""Intervals and p-values of paired effects: the same prompts, intact and edited. All intervals are 95%.

Questions are drawn independently, not prompts: prompts with the same key (3 + 4 after other solved lines, or in another
wording) are one cluster, resampled and flipped together. So 32 prompts that ask 10 different sums count as 10.

- The interval of a mean, and the p of a mean of zero, use a t that is valid for skewed changes (`skewed.py`: Johnson,
  Journal of the American Statistical Association 73, 1978; Hall, Journal of the Royal Statistical Society B 54, 1992).
  Most heads change most answers little and a few much, so a sample without the few looks narrow and is on the wrong
  side. So each end is moved for the skewness that the questions show, and for the additional skewness that so few
  questions cannot exclude: more for a smaller p. For normal changes it is about 12% wider than Student's t at 8
  questions, 5% at 16, and 3% at 32.
- The interval of a share of a difference (recovery: 0 like the corrupted run, 1 like the clean one) contains every
  ratio of the two means that the same test does not reject (Fieller, Journal of the Royal Statistical Society B 16,
  1954).
- The interval of the damage of a set beyond random sets (excess) adds the variances and the skewness of both draws, of
  the questions and of the sets, and uses the smaller of the two counts. The rank shows whether the set is beyond them:
  p is the rank divided by 1 + sets, which is exact whatever the sets do, and never below 1 / (1 + sets).
- The interval of a share is Wilson's score interval (1927), which keeps its width if every prompt gave the same result.
- The interval of a change of a share is Tango's score interval for paired shares (Statistics in Medicine 17, 1998),
  which keeps its width if no prompt changed.
- Both intervals of shares count each question as one trial. This is the worst case, in which all prompts of a question
  have the same result: wide, and never too narrow for that. A design effect from the observed correlation within
  questions was tried and rejected: with few questions that correlation is too uncertain. In simulations of 5 to 10
  questions with 14 to 50 prompts each, such intervals contained the truth in 85 to 92% of cases in the worst settings,
  and in 89% with the correlation's upper 95% limit instead.
- p is the larger of the p of the interval and that of a two-sided sign flip. The sign flip alone tests that a change is
  symmetric about zero, which a skewed change with mean zero is not. With G questions p is never below 2 / 2^G.
- q is p corrected over the effects of one experiment (Benjamini and Hochberg 1995): of the effects with q < 0.05, one
  in twenty is expected to be a false positive.
- p_max is p corrected over the same effects by min-p (Westfall and Young 1993): how often the same flips of all effects
  give any of them a mean as rare among its own flips. In one experiment of twenty, at least one effect with
  p_max < 0.05 is a false positive. If a screen selected the measured sites, there is no p_max.
- The interval of a rank, and of the entropy of a mean, is a percentile bootstrap over questions with Student's tails
  (Hesterberg, The American Statistician 69, 2015): a rank has no skewness to correct.
- p of a prediction comes from its interval: the level at which an interval of the same width and asymmetry just reaches
  the bound. So a logged interval is enough to judge a prediction again.
- If one question makes up more than half of a large effect, the result has the doubt `one_question`: intervals cannot
  show what most samples do not contain.

Error rates in simulations with a known truth ([all of them](../benchmarks/STATISTICS.md), with other methods that were
tried), before these methods (a percentile bootstrap with Student's tails, only the sign flip, max-T) and with them:

| % wrong, before → now | 16 questions | 32 questions |
|---|---:|---:|
| sweeps of 54 heads without effect, with any q < 0.05: normal | 4 → 0 | 4 → 1 |
| the same, exponential | 36 → 2 | 33 → 1 |
| the same, log-normal | 76 → 8 | 83 → 6 |
| the same, changes of SmolLM2's heads, arithmetic | 16 → 2 | 12 → 3 |
| any p_max < 0.05: exponential | 57 → 2 | 40 → 1 |
| the same, log-normal | 90 → 8 | 89 → 6 |
| intervals without the truth: normal | 5 → 4 | 4 → 4 |
| the same, log-normal | 13 → 6 | 10 → 5 |
| any verdict on six predictions at their bound: exponential | 16 → 3 | 13 → 3 |
| the same, log-normal | 31 → 7 | 26 → 7 |

No method handles spikes that most samples do not contain (one question in ten): 18% of intervals with 16 questions miss
the truth, and 4% with 32.

The cost in power, at 16 questions: a single effect of one standard deviation is found in 93 of 100 studies, and in 97
with Student's t; an effect of two standard deviations is found among 54 heads in about 60 of 100 sweeps, and in nearly
all with Student's t. At 32 questions, an effect of two loses nothing, and an effect of one is found among 54 in about
83 instead of 97. So use 32 questions for a sweep.

All effects of an experiment share their flips and resamples, and the seed is fixed, so a replay gives the same numbers.
An experiment logs the version of its statistics; a replay with another version says so, and compares the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import root_scalar
from scipy.stats import false_discovery_control, norm, t

from ..metrics import ends_of, is_distance
from ..result import Effect, Measurement
from .paired_test import paired_p
from .skewed import LEVEL, Array, Questions, Z, clustered, mean_interval

RESAMPLES = 10_000
SEED = 20_231


def trials(values: Array, questions: Questions) -> int:
    """The number of independent values among the values [..., n]."""
    return values.shape[-1] if questions is None else len(set(questions))


@lru_cache(maxsize=4)
def _drawn(count: int) -> Array:
    """How often each of `count` questions occurs in each resample, [RESAMPLES, count]; always the same."""
    drawn = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    drawn += count * np.arange(RESAMPLES)[:, None]
    times = np.bincount(drawn.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(float)
    times.flags.writeable = False
    return times


def _resampled(sums: Array, sizes: Array) -> Array:
    """Sums by question [..., G] and their numbers of values [G] -> means over resampled questions [..., RESAMPLES]."""
    # Counts instead of copies: a resampled mean is a ratio of two sums, and all effects share one matrix product.
    times = _drawn(len(sizes))
    return (sums @ times.T) / (times @ sizes)


def resampled(values: Array, questions: Questions = None) -> Array:
    """values [..., n] -> their means over resampled questions [..., 10,000], for intervals of functions of means."""
    return _resampled(*clustered(values, questions))


def _tail(count: int) -> float:
    """The share of the resampled means beyond each end of the interval."""
    return float(norm.cdf(-math.sqrt(count / (count - 1)) * t.ppf((1 + LEVEL) / 2, count - 1)))


def wilson(share: float, count: float, z: float = Z) -> tuple[float, float]:
    """Wilson's interval of a share in `count` independent trials; `share * count` need not be an integer. `z` is the
    normal quantile of another level."""
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def tango(gained: float, lost: float, count: float) -> tuple[float, float]:
    """Tango's interval of gained - lost: the shares of `count` pairs in which only the one, or only the other, is 1.

    It contains all differences whose score test does not reject. Pairs that agree do not matter; if no pair differs, it
    extends Z^2 / (count + Z^2) to each side.
    """
    change = gained - lost

    def score(delta: float) -> float:
        # The most likely share of `lost` if the difference is delta: the larger root of a quadratic.
        b = -gained - lost + (2 - change) * delta
        c = -lost * delta * (1 - delta)
        likeliest = (math.sqrt(max(0.0, b * b - 8 * c)) - b) / 4
        variance = (2 * likeliest + delta * (1 - delta)) / count
        return (change - delta) / math.sqrt(max(variance, 1e-300))

    def edge(end: float, sign: int) -> float:
        # At the ends the variance vanishes and the score grows without bound, so it crosses Z on the way there.
        return (
            end
            if change == end
            else float(root_scalar(lambda delta: score(delta) + sign * Z, bracket=(change, end)).root)
        )

    return edge(-1.0, -1), edge(1.0, 1)


def questions_asked(questions: Sequence[str]) -> Measurement:
    """How many different questions the prompts ask; the intervals count these."""
    return Measurement(name="questions", value=len(set(questions)))


def effects(
    sites: list[str], metric: str, differences: Array, questions: Questions = None, family: int = 0
) -> tuple[Effect, ...]:
    """differences [site, n] -> one Effect per site, with interval, p, q and p_max.

    If the sites were selected from a larger `family`, q corrects for all of it: the others count as p = 1. Their flips
    are unknown, so there is no p_max. A distance from the intact prediction (kl) is never negative, so its sign cannot
    be flipped: it has no p, q or p_max.
    """
    if is_distance(metric):
        return untested(sites, metric, differences, questions)
    mean, low, high = mean_interval(differences, questions)
    p, p_max = paired_p(differences, questions)
    tried = np.concatenate([p, np.ones(max(0, family - len(p)))])
    q = false_discovery_control(tried) if len(tried) > 1 else tried
    return tuple(
        Effect(site=s, metric=metric, value=float(m), low=float(a), high=float(b), n=differences.shape[-1],
               p=float(pv), q=float(qv), p_max=None if family > len(p) else float(pm))
        for s, m, a, b, pv, qv, pm in zip(sites, mean, low, high, p, q[: len(p)], p_max, strict=True)
    )  # fmt: skip


def untested(
    sites: list[str],
    metric: str,
    changes: Array,
    questions: Questions = None,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[Effect, ...]:
    """changes [site, n] -> one Effect per site, with an interval but no p-value. `within` are the limits of the values,
    if they are not changes; a distance is never below 0."""
    mean, low, high = mean_interval(changes, questions)
    low, high = np.maximum(low, max(within[0], 0.0 if is_distance(metric) else -math.inf)), np.minimum(high, within[1])
    return tuple(
        Effect(site=s, metric=metric, value=float(m), low=float(a), high=float(b), n=changes.shape[-1])
        for s, m, a, b in zip(sites, mean, low, high, strict=True)
    )


def measurement(
    name: str, values: Array, unit: str = "", questions: Questions = None, of: str | None = None
) -> Measurement:
    """The mean of values [n] with its interval (for values of 0 and 1 use `share`). For values of a metric, not
    changes, `of` names it, and the interval stays within its limits."""
    mean, low, high = mean_interval(values, questions)
    least, most = ends_of(of)
    return Measurement(name=name, value=float(mean), low=max(float(low), least), high=min(float(high), most),
                       n=len(values), unit=unit)  # fmt: skip


def share(name: str, values: Array, questions: Questions = None) -> Measurement:
    """The share of ones among values [n] of 0 and 1, with Wilson's interval."""
    part = float(values.mean())
    low, high = wilson(part, trials(values, questions))
    return Measurement(name=name, value=part, low=low, high=high, n=len(values))


def share_change(name: str, differences: Array, questions: Questions = None) -> Measurement:
    """The mean of paired differences [n] of -1, 0 and 1, with Tango's interval."""
    gained, lost = float((differences > 0).mean()), float((differences < 0).mean())
    low, high = tango(gained, lost, trials(differences, questions))
    return Measurement(name=name, value=gained - lost, low=low, high=high, n=len(differences))


def rank_interval(values: Array, place: int, questions: Questions = None) -> tuple[float, float]:
    """values [site, n] -> the 95% interval of the rank of the absolute mean of values[place], 1: the strongest.

    Ranks of resampled means; ties share the better rank.
    """
    sums, sizes = clustered(values, questions)
    if len(sizes) == 1:
        rank = float(1 + (np.abs(sums) > np.abs(sums[place])).sum())
        return rank, rank
    sizes_of_means = np.abs(_resampled(sums, sizes))
    ranks = 1 + (sizes_of_means > sizes_of_means[place]).sum(0)
    tail = _tail(len(sizes))
    low, high = np.quantile(ranks, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)
