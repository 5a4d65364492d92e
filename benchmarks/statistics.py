"""How often the statistics are wrong: simulations in which the truth is known, over shapes of changes.

Five shapes are real: the changes of logit_diff by 54 heads of SmolLM2 on 64 prompts, kept in `changes.npz`, with the
mean of each head set to 0; prompts are drawn from them, the same for all heads.

    python -m benchmarks.statistics [--sweeps 200] [--no-write]     # writes STATISTICS.md
    python -m benchmarks.statistics --measure                       # makes changes.npz again

A sweep under the null has no effect at all; it is wrong where any q (or p_max) is below 0.05.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control

from lashley.benchmarks.candidates import (
    CANDIDATES,
    Tried,
    before,
    intervals_before,
    intervals_now,
    now,
    p_before,
    verdict_before,
    verdict_now,
)
from lashley.experiments.statistics.skewed import Array
from lashley.tools.evidence.verdict import ALPHA, holm

HERE = Path(__file__).parent
KEPT = HERE / "changes.npz"
TASKS = ("arithmetic", "ioi", "capitals", "induction", "greater_than")
QUESTIONS, PREDICTIONS = (8, 16, 32, 64), 6
Draw = Callable[[np.random.Generator, int, int], Array]


def measure(prompts: int = 64) -> None:
    """Run the sweeps whose changes are kept: of 270 heads every fifth, from all layers."""
    import lashley

    model = lashley.load("smollm2-135m")
    heads = [f"L{i // 9}.H{i % 9}" for i in range(270) if i % 5 == (i // 9) % 5]
    kept: dict[str, Any] = {"heads": heads}
    for task in TASKS:
        sweep = lashley.HeadAblation(heads=heads, n=prompts, seed=3)
        values = lashley.run(sweep, model=model, task=task).array("logit_diff")
        kept[task] = (values[1:] - values[0]).astype(np.float16)
    np.savez_compressed(KEPT, **kept)


def real(task: str) -> Array:
    """[head, prompt]"""
    with np.load(KEPT) as kept:
        return kept[task].astype(float)


def shapes() -> dict[str, Draw]:
    """Changes of mean 0: from a generator, how many effects and how many questions, to [effect, question]."""

    def resampled(task: str) -> Draw:
        changes = real(task)
        centred = changes - changes.mean(1, keepdims=True)

        def draw(rng: np.random.Generator, effects: int, questions: int) -> Array:
            if effects > len(centred):
                raise ValueError(f"only {len(centred)} heads were measured")
            return centred[:effects, rng.integers(0, centred.shape[1], questions)]

        return draw

    return {
        "normal": lambda rng, e, n: rng.normal(size=(e, n)),
        "t with 3 degrees": lambda rng, e, n: rng.standard_t(3, (e, n)),
        "Laplace": lambda rng, e, n: rng.laplace(size=(e, n)),
        "exponential": lambda rng, e, n: rng.exponential(size=(e, n)) - 1,
        "log-normal": lambda rng, e, n: rng.lognormal(size=(e, n)) - np.exp(0.5),
        "one in ten a spike": lambda rng, e, n: 10.0 * (rng.random((e, n)) < 0.1) - 1 + rng.normal(size=(e, n)),
        **{f"real, {task}": resampled(task) for task in TASKS},
    }


def null_sweeps(
    draw: Draw, method: Callable[[Array], Tried], effects: int, questions: int, sweeps: int
) -> tuple[float, float]:
    """The shares of sweeps with any q, and with any p_max, below 0.05; nan where there is no p_max."""
    rng, wrong = np.random.default_rng([effects, questions]), np.zeros(2)
    for _ in range(sweeps):
        found = method(draw(rng, effects, questions))
        wrong[0] += (false_discovery_control(np.minimum(found.p, 1)) < ALPHA).any()
        wrong[1] += np.nan if found.p_max is None else (found.p_max < ALPHA).any()
    return float(wrong[0] / sweeps), float(wrong[1] / sweeps)


def coverage(draw: Draw, method: Callable[[Array], Tried], questions: int, intervals: int = 2000) -> float:
    """The share of intervals that hold the true mean, 0."""
    rng, held, at_once = np.random.default_rng(questions), [], 50
    for _ in range(intervals // at_once):
        found = method(draw(rng, at_once, questions))
        held.append((found.low <= 0) & (found.high >= 0))
    return float(np.mean(held))


def wrong_verdicts(draw: Draw, method: Callable[[Array], Tried], questions: int, families: int = 540) -> float:
    """The share of families of six predictions whose quantity is the bound, of which any has a verdict. Each
    prediction is of another experiment, with prompts of its own."""
    rng, at_once = np.random.default_rng([questions, PREDICTIONS]), 54
    verdict = verdict_before if method is intervals_before else verdict_now
    wrong: list[float] = []
    for _ in range(families // at_once):
        drawn = [draw(rng, at_once, questions) for _ in range(PREDICTIONS)]
        p = [verdict(method(values), values.mean(1), questions) for values in drawn]
        wrong += [min(holm(group)) < ALPHA for group in np.array(p).T.tolist()]
    return float(np.mean(wrong))


def found_among_nothing(mean: float, shape: str, method: Callable[[Array], Tried], effects: int, questions: int,
                        sweeps: int) -> float:  # fmt: skip
    """How often one effect of this mean, in standard deviations, has q < 0.05 among others that are nothing."""
    rng, draw, found = np.random.default_rng([effects, questions]), shapes()[shape], 0
    for _ in range(sweeps):
        values = draw(rng, effects, questions)
        values[0] += mean
        found += false_discovery_control(method(values).p)[0] < ALPHA
    return found / sweeps


def heads_found(method: Callable[[Array], Tried], task: str, questions: int, times: int = 20) -> float:
    """How many of the 54 real heads have q < 0.05 with so many of their prompts, on average."""
    rng, changes = np.random.default_rng(questions), real(task)
    taken = [rng.permutation(changes.shape[1])[:questions] for _ in range(times)]
    return float(np.mean([(false_discovery_control(method(changes[:, rows]).p) < ALPHA).sum() for rows in taken]))


def percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.0f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def pair(was: str, is_now: str) -> str:
    return f"{was} → {is_now}"


def sweeps_table(effects: int, sweeps: int, asked: tuple[int, ...] = QUESTIONS) -> str:
    rows = []
    for name, draw in shapes().items():
        if effects > 54 and name.startswith("real"):
            continue
        row = [name]
        for questions in asked:
            q, p_max = zip(*(null_sweeps(draw, method, effects, questions, sweeps) for method in (p_before, now)),
                           strict=True)  # fmt: skip
            row += [pair(*map(percent, q)), pair(*map(percent, p_max))]
        rows.append(row)
        print(effects, row, flush=True)
    return table(["% wrong", *(f"{n}: {what}" for n in asked for what in ("q", "p_max"))], rows)


def single_table(what: Callable[..., float], questions: tuple[int, ...]) -> str:
    rows = []
    for name, draw in shapes().items():
        cells = [
            pair(*(percent(what(draw, method, n)) for method in (intervals_before, intervals_now))) for n in questions
        ]
        rows.append([name, *cells])
        print(rows[-1], flush=True)
    return table(["%", *(f"{n} questions" for n in questions)], rows)


def candidates_table(sweeps: int) -> str:
    some = ("normal", "t with 3 degrees", "exponential", "log-normal", "real, arithmetic")
    rows = []
    for name, method in CANDIDATES.items():
        row = [name]
        for shape in some:
            draw = shapes()[shape]
            q, p_max = null_sweeps(draw, method, 54, 16, sweeps)
            row.append(f"{percent(q)} / {percent(p_max) or '-'} / {percent(coverage(draw, method, 16, 1000))}")
        row.append(percent(found_among_nothing(2.0, "normal", method, 54, 16, sweeps)))
        rows.append(row)
        print(row, flush=True)
    return table(["any q / any p_max / coverage, %", *some, "finds 2 sd"], rows)


def power_table(sweeps: int) -> str:
    rows = []
    cases = [(m, "normal") for m in (0.5, 1.0, 2.0, 4.0)] + [(m, "exponential") for m in (1.0, -1.0, 2.0, -2.0)]
    for mean, shape in cases:
        row = [f"{mean:+g} sd, {shape}"]
        for effects in (1, 54):
            times = sweeps if effects > 1 else 1000
            row += [pair(*(percent(found_among_nothing(mean, shape, method, effects, n, times))
                           for method in (p_before, now))) for n in (8, 16, 32)]  # fmt: skip
        rows.append(row)
        print(row, flush=True)
    return table(["% found", *(f"{e}: {n}" for e in ("alone", "of 54") for n in (8, 16, 32))], rows)


def real_table() -> str:
    rows = [[task, *(pair(*(f"{heads_found(method, task, n):.1f}" for method in (p_before, now)))
                     for n in QUESTIONS)] for task in TASKS]  # fmt: skip
    return table(["heads of 54", *(f"{n} prompts" for n in QUESTIONS)], rows)


def seconds() -> str:
    values = np.random.default_rng(0).normal(size=(270, 32))
    spent = []
    for method in (before, now):
        began = time.perf_counter()
        method(values)
        spent.append(time.perf_counter() - began)
    return f"270 effects of 32 questions took {spent[0]:.2f} s before and take {spent[1]:.2f} s now."


def report(sweeps: int) -> str:
    return f"""# How often the statistics are wrong

Made by `python -m benchmarks.statistics`, {sweeps} sweeps each, on {platform.machine()}. Each cell is before → now.
Before was a percentile bootstrap with Student's tails, a sign flip, and max-T over the flips. Now is
[skewed.py](../experiments/statistics/skewed.py) and [paired_test.py](../experiments/statistics/paired_test.py).
{seconds()}

## Sweeps with nothing to find

How many of 100 sweeps have any q, and any p_max, below 0.05; it should be 5. The columns are numbers of
questions.

54 effects:

{sweeps_table(54, sweeps)}

270 effects, half as many sweeps:

{sweeps_table(270, sweeps // 2, (16, 32))}

## Intervals

How many of 100 intervals hold the true mean; it should be 95.

{single_table(coverage, (5, *QUESTIONS))}

## Verdicts

Six predictions whose quantity lies on their bound, so any verdict is wrong. The table counts the studies of 100 in
which any of the six has a verdict, after Holm's correction; it should be 5.

{single_table(wrong_verdicts, QUESTIONS)}

## What a real effect loses

The table says how often one effect is found: alone (p < 0.05), and among 53 null effects (q < 0.05), by the number of
questions. Exponential changes of negative mean have their tail towards zero. A few large values could undo such a mean,
so these effects are found less often.

{power_table(sweeps)}

How many of the 54 measured heads have q < 0.05, by the number of prompts:

{real_table()}

## What was tried

54 effects, 16 questions: any q below 0.05, any p_max below 0.05, the coverage of intervals, and how often a normal
effect of two standard deviations is found among null effects.

{candidates_table(sweeps)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--measure", action="store_true", help="make changes.npz again")
    parser.add_argument("--no-write", action="store_true")
    given = parser.parse_args()
    if given.measure:
        measure()
        return
    text = report(given.sweeps)
    print(text)
    if not given.no_write:
        (HERE / "STATISTICS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
