"""Noise on the embeddings of a span, and on other spans of the same length as a control."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from ..engine import Activations, Source
from ..engine.forward import embed
from ..model.subject import Subject
from ..tasks.batch import Batch

OTHER = "other "
CONTROLS = 8


def marked(batch: Batch, span: str, seed: int) -> Batch:
    """The batch with more spans: first and end (the first and last token of the span), after (the tokens between it and
    the last token of the prompt, if any), and up to 8 `other 0`, `other 1`, ... of the same length.

    The others do not overlap the span or the first token of the text, which models attend to whatever it is.
    """
    rng = random.Random(seed)
    ends: list[dict[str, tuple[int, int]]] = []
    others: list[list[tuple[int, int]]] = []
    for mask, named in zip(batch.mask, batch.spans, strict=True):
        (first, last), end = named[span], named["last"][0]
        begin, wide = int(mask.argmax()) + 1, last - first
        ends.append(
            {"first": (first, first + 1), "end": (last - 1, last), **({"after": (last, end)} if last < end else {})}
        )
        free = [at for at in range(begin, end + 2 - wide) if at + wide <= first or at >= last]
        others.append([(at, at + wide) for at in rng.sample(free, min(CONTROLS, len(free)))])
    fewest = min(map(len, others))
    spans = tuple({**named, **more, **{f"{OTHER}{i}": at for i, at in enumerate(some[:fewest])}}
                  for named, more, some in zip(batch.spans, ends, others, strict=True))  # fmt: skip
    return replace(batch, spans=spans)


@torch.inference_mode()
def spread(subject: Subject, batch: Batch, span: str | None = None) -> float:
    """The standard deviation of embeddings, the unit of the noise. Embeddings are taken at position 0, so position
    embeddings do not count.

    Without a span: of all tokens of these prompts, each once, around their mean. With a span: of the tokens of that
    span as often as they occur, all numbers together, around the mean number, as in the paper on causal tracing (Meng
    et al. 2022, arXiv 2202.05262).
    """
    if span is None:
        tokens = batch.ids[batch.mask.bool()].unique()
    else:
        tokens = torch.cat([row[slice(*named[span])] for row, named in zip(batch.ids, batch.spans, strict=True)])
    seen = embed(subject.model, subject.anatomy, tokens[:, None], torch.zeros_like(tokens[:, None]))[:, 0].float()
    return float((seen - (seen.mean(0) if span is None else seen.mean())).square().mean().sqrt())


def noises(subject: Subject, batch: Batch, deviation: float, draws: int, seed: int) -> dict[str, Source]:
    """For each draw, Gaussian noise of this deviation at every token, [batch, position, d_model], to add to the input
    of the first layer."""
    made: dict[str, Source] = {}
    for i in range(draws):
        generator = torch.Generator().manual_seed(1_000_003 * seed + i)
        drawn = torch.randn(len(batch), batch.length, subject.anatomy.d_model, generator=generator)
        values = (deviation * drawn).to(subject.device, subject.dtype)
        made[f"noise {i}"] = Activations({(0, "resid_pre"): values})
    return made
