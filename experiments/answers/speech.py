"""What the intact and the edited subject say: right or wrong, in which way, and how fluently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..result import Effect, Figure, Measurement, Sample
from ..statistics.intervals import Array, measurement, share, share_change
from .failures import FAILURES, failure
from .text_quality import distinct, repetition

if TYPE_CHECKING:
    from ..lab import Lab
    from ..tasks.prompt import Prompt


@dataclass(frozen=True)
class Spoken:
    """A comparison of texts, as parts of a result."""

    measurements: tuple[Measurement, ...]
    samples: tuple[Sample, ...]
    text: str
    effects: tuple[Effect, ...] = ()
    figures: tuple[Figure, ...] = ()


def compared(lab: Lab, prompts: tuple[Prompt, ...], said: list[str], changed: list[str], condition: str) -> Spoken:
    """The texts of the intact and the edited model, prompt by prompt; `condition` names the edit."""
    samples = lab.samples(prompts, said, changed, condition)
    if lab.task.answer_kind == "open":
        written = compared_writing(lab, prompts, said, changed)
        return Spoken(written, samples, writing_summary(written))
    asked = [p.key for p in prompts]
    before, after = lab.correct(prompts, said), lab.correct(prompts, changed)
    kinds = [
        [failure(p, text, lab.task.answer_kind) for p, text in zip(prompts, texts, strict=True)]
        for texts in (said, changed)
    ]
    counts = [Counter[str](each) for each in kinds]
    seen = [name for name in FAILURES if any(name in c for c in counts)]
    effects = tuple(changed_share(name, kinds[0], kinds[1], asked) for name in seen)
    figure = Figure(
        name="failures", kind="stacked_bars", title=f"What {lab.subject.name} answers: {lab.task.name}", unit="answers",
        n=len(prompts),
        data={"bars": ["intact", condition], "labels": seen, "counts": [[c[name] for name in seen] for c in counts]},
    )  # fmt: skip
    words = ", ".join(f"{name.replace('_', ' ')} {counts[0][name]} to {counts[1][name]}" for name in seen)
    return Spoken(
        measurements=(
            share("intact_accuracy", before, asked),
            share("accuracy", after, asked),
            share_change("accuracy_drop", before - after, asked),
        ),
        samples=samples,
        text=f"Accuracy goes from {before.mean():.3f} to {after.mean():.3f}. Answers, intact to edited: {words}.",
        effects=effects,
        figures=(figure,),
    )


def changed_share(name: str, before: Sequence[str], after: Sequence[str], asked: Sequence[str]) -> Effect:
    """The change of the share of this class of answers, with Tango's interval."""
    moved = np.array([(b == name) - (a == name) for a, b in zip(before, after, strict=True)], dtype=float)
    change = share_change(name, moved, asked)
    assert change.low is not None
    assert change.high is not None
    return Effect(site=f"answers {name}", metric="answer_share", value=change.value, low=change.low, high=change.high,
                  n=len(moved))  # fmt: skip


def writing(lab: Lab, prompts: tuple[Prompt, ...], said: list[str]) -> dict[str, Array]:
    """One value per text for each measure, NaN if a text has none: `repetition`, `distinct_1`, `distinct_2` and
    `surprise`, the loss of the text under the intact model in nats per token."""
    return {
        "repetition": np.array([repetition(text) for text in said]),
        "distinct_1": np.array([distinct(text, 1) for text in said], dtype=float),
        "distinct_2": np.array([distinct(text, 2) for text in said], dtype=float),
        "surprise": lab.surprise(prompts, said),
    }


def summed_up(values: dict[str, Array], prompts: Sequence[Prompt], suffix: str = "") -> list[Measurement]:
    """The means of `writing`; the surprise becomes a perplexity, the exponential of its mean."""
    found: list[Measurement] = []
    for name, each in values.items():
        there = ~np.isnan(each)
        if not there.any():
            continue
        mean = measurement(name, each[there], "", [p.key for p, t in zip(prompts, there, strict=True) if t])
        if name == "surprise":
            assert mean.low is not None
            assert mean.high is not None
            value, low, high = np.exp([mean.value, mean.low, mean.high]).tolist()
            mean = Measurement(name="perplexity", value=value, low=low, high=high, n=mean.n)
        found.append(mean.model_copy(update={"name": mean.name + suffix}))
    return found


def compared_writing(
    lab: Lab, prompts: tuple[Prompt, ...], said: list[str], changed: list[str]
) -> tuple[Measurement, ...]:
    """How the intact and the edited model write, and the paired changes."""
    before, after = writing(lab, prompts, said), writing(lab, prompts, changed)
    change = {name: after[name] - before[name] for name in before if name != "surprise"}
    return (*summed_up(before, prompts, "_intact"), *summed_up(after, prompts), *summed_up(change, prompts, "_change"))


def writing_summary(measurements: Sequence[Measurement]) -> str:
    """A sentence with the measures."""
    found = {m.name: m.value for m in measurements}
    parts: list[str] = []
    for name in ("repetition", "distinct_1", "distinct_2", "perplexity"):
        if name in found:
            before = f"{found[f'{name}_intact']:.3g} to " if f"{name}_intact" in found else ""
            parts.append(f"{name.replace('_', ' ')} {before}{found[name]:.3g}")
    return f"Of its texts: {', '.join(parts)}."
