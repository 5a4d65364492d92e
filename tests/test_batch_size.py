"""No score may depend on who else is in the batch: prompts of mixed length, alone, together, and with more padding."""

from __future__ import annotations

import pytest
import torch

from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout, FirstReadout
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.sites import parse_site
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.tiny import SAMPLED, tiny_subject

BOTH = [Intervention(name="intact"), Intervention(name="cut", edits=(Edit(site=parse_site("L1.H2")),))]
TOLERANCE = 1e-4


def prompt(number: int, length: int) -> Prompt:
    """Some words, and an answer of one to three of them; texts and lengths differ."""
    words = " ".join(f"w{3 + (number * 17 + place * 29) % 90}" for place in range(length))
    answer = "".join(f" w{3 + (number * 7 + place) % 90}" for place in range(1 + number % 3))
    return Prompt(text=words, answer=answer, distractor=f" w{3 + (number * 7 + 45) % 90}", key=str(number))


PROMPTS = [prompt(number, 2 + number * 5 % 17) for number in range(32)]
LONG = prompt(99, 40)


def scores(kind: str, size: int, padding: tuple[Prompt, ...] = ()) -> dict[str, torch.Tensor]:
    """Every score of every prompt, [intervention, prompt], in batches of this size, each with `padding` beside it."""
    subject = tiny_subject(kind)
    parts: list[dict[str, torch.Tensor]] = []
    for first in range(0, len(PROMPTS), size):
        own = PROMPTS[first : first + size]
        batch = make_batch(subject.tokenizer, [*own, *padding])
        intact = engine.run(subject, batch, BOTH[:1], FirstReadout(batch, keep_log_probs=True))["log_probs"][0]
        found = engine.run(subject, batch, BOTH, AnswerReadout(batch, intact=intact))
        parts.append({name: values[:, : len(own)] for name, values in found.items()})
    return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}


@pytest.mark.parametrize("kind", SAMPLED)
def test_no_score_moves_with_the_size_of_the_batch_or_with_padding(kind: str) -> None:
    alone = scores(kind, 1)
    assert set(alone) == {"loss", "prob", "rank", "logit_diff", "kl"}
    assert len({len(p.text.split()) for p in PROMPTS}) > 10
    for size, padding in ((3, ()), (8, ()), (32, ()), (1, (LONG,)), (8, (LONG,))):
        together = scores(kind, size, padding)
        for name, values in alone.items():
            assert float((together[name] - values).abs().max()) <= TOLERANCE, (name, size, len(padding))
