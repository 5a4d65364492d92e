"""What a lens reads at every layer: how well it predicts the answer, how far the prediction is from the final one, and
how far the answer leads other prompts' answers (a layer that knows only the kind of answer has no lead)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..answers.scoring import AnswerReadout
from ..metrics import BUILT_IN, divergence, ends_of
from ..notes import note
from ..result import Effect, Figure, Measurement, Note
from ..statistics.intervals import Array, Questions, effects, measurement, untested
from ..statistics.skewed import mean_interval
from ..tasks.batch import Batch
from .controls import TOLERANCE

# In the order of the report. `lead` and `logit_diff` can have either sign.
UNITS = {**{metric.name: metric.unit for metric in BUILT_IN}, "lead": "nats", "rank": "rank"}
ORDER = ("lead", "logit_diff", "prob", "rank", "kl")
TOLD = 8


@dataclass
class LensReadout:
    """At the answer: prob, rank, logit_diff, loss; the divergence from `final` [batch, vocabulary], the top token; and
    the lead, the log-probability of the answer over the mean of those of other prompts' answers that differ from it.

    An open prompt has only the divergence and the top token.
    """

    batch: Batch
    final: Tensor
    at: Tensor | None = field(init=False, default=None)
    tokens: Tensor | None = None
    every_column: bool = False

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        at, own = self.batch.answer_at[prompts], self.batch.pair[prompts, 0]
        last = logits[torch.arange(len(prompts), device=logits.device), at].float().log_softmax(-1)
        found = {"kl": divergence(self.final[prompts.cpu()], last), "top": last.argmax(-1).float()}
        if not bool((self.batch.targets >= 0).any()):
            return found
        found |= AnswerReadout(self.batch).measure(logits, prompts)
        ahead = lead(last, own, self.batch.pair[:, 0].unique())
        return found if ahead is None else {**found, "lead": ahead}


def lead(last: Tensor, own: Tensor, tokens: Tensor) -> Tensor | None:
    """Log-probabilities [row, vocabulary] -> how far each row's own token leads the mean of the other tokens [row].

    None if there is no other. `tokens` are all different, and contain each own token.
    """
    if len(tokens) < 2:
        return None
    given = last[:, tokens].sum(-1)
    mine = last.gather(-1, own[:, None])[:, 0]
    return mine - (given - mine) / (len(tokens) - 1)


@dataclass(frozen=True)
class TopToken:
    """The likeliest token at every column, and its probability: [row, column] each."""

    at: Tensor | None = None
    tokens: Tensor | None = None
    every_column: bool = True

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        top = logits.float().softmax(-1).max(-1)
        return {"token": top.indices.float(), "prob": top.values}


def stream_names(n_layers: int) -> list[str]:
    return ["L0.resid_pre", *(f"L{layer}.resid_post" for layer in range(n_layers))]


def lens_effects(sites: list[str], values: Mapping[str, Array], questions: Questions) -> tuple[Effect, ...]:
    """Effects from values by metric [site, n]; with p if zero is meaningful and either sign is possible."""
    signed = ("lead", "logit_diff")
    made = [effects(sites, name, each, questions) if name in signed
            else untested(sites, name, each, questions, ends_of(name)) for name, each in values.items()]  # fmt: skip
    return tuple(effect for each in made for effect in each)


def with_zero(values: Array) -> Array:
    """values [site, n] with a row of zeros first, where other experiments keep the intact model's values: effects are
    differences from it."""
    return np.concatenate([np.zeros_like(values[:1]), values])


def summary(sites: list[str], values: Mapping[str, Array], units: str) -> str:
    """A sentence with the means of a few layers from first to last."""
    places = sorted({round(i * (len(sites) - 1) / (TOLD - 1)) for i in range(TOLD)})
    rows = [", ".join(f"{name} {values[name][i].mean():.3g}" for name in values) for i in places]
    n = len(next(iter(values.values()))[0])
    layers = "; ".join(f"{sites[i]}: {row}" for i, row in zip(places, rows, strict=True))
    return f"Means over {n} prompts ({units}): {layers}."


def settled(tops: Tensor, questions: Questions) -> Measurement:
    """tops [stream, n] -> after how many layers the likeliest token is the final one and stays it, on average."""
    differs = (tops != tops[-1]).flip(0)
    after = len(tops) - differs.double().argmax(0)
    never = ~differs.any(0)
    return measurement("settled_after", torch.where(never, 0, after).double().numpy(), "layers", questions)


def last_lens(metric: str, seen: Array, own: Array) -> tuple[Measurement, tuple[Note, ...]]:
    """seen and own [n]: a metric by the last lens and by the model itself -> the control that they are equal, and a
    note if they are not."""
    off = float(abs(seen - own).max())
    failed = () if off <= TOLERANCE else (note("lens_failed", metric=metric, off=off),)
    return Measurement(name="identity", value=off, n=len(own), unit=UNITS[metric]), failed


def curve(name: str, values: Array, questions: Questions) -> dict[str, object]:
    """values [x, n] -> a series of a figure of lines, with its interval."""
    mean, low, high = mean_interval(values, questions)
    return {"name": name, "y": mean.tolist(), "low": low.tolist(), "high": high.tolist()}


def over_layers(name: str, title: str, unit: str, n: int, series: list[dict[str, object]]) -> Figure:
    """Curves over how many layers have run, 0 for the embedding."""
    count = len(series[0]["y"])  # type: ignore[arg-type]
    data = {"x": list(range(count)), "x_label": "layers run", "series": series}
    return Figure(name=name, kind="lines", title=title, unit=unit, n=n, data=data)
