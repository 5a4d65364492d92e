"""What a lens reads of a named value at a position: how likely is `a+b` after each layer, at the token of `b`?

A value is read by one token: the first one that is not a blank, of the value written after the prompt as the answer is
(with the same space before it). Tokenizers that write the space, or each digit, as its own token thus give a token that
tells values apart. Values that share this token are one value here, as a note says. The answer itself is read where it
first differs from the distractor, as in every kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import BadConfiguration, BadTask
from ..metrics import divergence
from ..notes import note
from ..result import Note
from ..tasks.batch import Batch, encode_answer
from ..tasks.prompt import Prompt
from ..tasks.values import blank_before, value_in_each
from .lenses import lead

if TYPE_CHECKING:
    from ..lab import Lab

# Characters of a token that a text shows, and different tokens of a position.
LONGEST, MOST = 24, 3
# The token that predicts the answer.
READ = "read"
LAST = "last"


@dataclass
class ValueReadout:
    """At one column of each prompt [batch]: the prob and the rank of its wanted token [batch]; the lead over the other
    prompts' wanted tokens that differ; the likeliest token; and the divergence from `final` [batch, vocabulary].

    Without `final`, the log-probabilities instead of the divergence.
    """

    batch: Batch
    columns: Tensor
    wanted: Tensor
    final: Tensor | None = None
    tokens: Tensor | None = None
    every_column: bool = False
    at: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.columns - (self.batch.length - self.batch.reads)

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        last, own = logits[:, 0].float().log_softmax(-1), self.wanted[prompts]
        mine = last.gather(-1, own[:, None])
        found = {"prob": mine[:, 0].exp(), "rank": (last > mine).sum(-1).float(), "top": last.argmax(-1).float()}
        found |= {"log_probs": last} if self.final is None else {"kl": divergence(self.final[prompts.cpu()], last)}
        ahead = lead(last, own, self.wanted.unique())
        return found if ahead is None else {**found, "lead": ahead}


def value_readout(
    lab: Lab, prompts: Sequence[Prompt], batch: Batch, value: str | None, position: str
) -> tuple[ValueReadout, Tensor, tuple[Note, ...]]:
    """The readout of the value (None: the answer, where it differs from the distractor) at the position, the model's
    own probabilities of its tokens there [batch], and notes. Raises BadConfiguration or BadTask."""
    from .. import engine
    from ..lab import INTACT

    columns = columns_at(batch, position)
    wanted, notes = batch.pair[:, 0], ()
    if value is not None:
        wanted, notes = value_tokens(lab.subject.tokenizer, prompts, value)
        wanted = wanted.to(batch.ids.device)
    if len(wanted.unique()) < 2:
        notes = (*notes, note("same_values", value=value or "the answer"))
    own = engine.run(lab.subject, batch, [INTACT], ValueReadout(batch, columns, wanted))
    return ValueReadout(batch, columns, wanted, own["log_probs"][0]), own["prob"][0], notes


def positions_of(prompts: Sequence[Prompt]) -> list[str]:
    """The positions that every prompt has."""
    return [*(name for name in prompts[0].spans if all(name in p.spans for p in prompts)), LAST, READ]


def require_position(prompts: Sequence[Prompt], position: str) -> None:
    """Raises BadConfiguration if a prompt does not have the position."""
    if position not in (known := positions_of(prompts)):
        raise BadConfiguration(f"Not every prompt has the position '{position}'. Use {', '.join(known)}.")


def columns_at(batch: Batch, position: str) -> Tensor:
    """The column of each prompt [batch]: the last token of a span, or the token that predicts the answer."""
    if position == READ:
        return batch.length - batch.reads + batch.answer_at
    return torch.tensor([spans[position][1] - 1 for spans in batch.spans], device=batch.ids.device)


def token_at(lab: Lab, batch: Batch, position: str) -> str:
    """The tokens at a position, quoted: '" ="'. If prompts differ there, the most frequent ones, each with the number
    of prompts that have it."""
    rows = torch.arange(len(batch), device=batch.ids.device)
    found = Counter(batch.ids[rows, columns_at(batch, position)].tolist()).most_common()
    texts = [json.dumps(lab.subject.tokenizer.decode([token])[:LONGEST], ensure_ascii=True) for token, _ in found]
    if len(found) == 1:
        return texts[0]
    if found[0][1] == 1:
        return "a different token in each prompt"
    some = [f"{text} in {count}" for text, (_, count) in zip(texts, found, strict=True)][:MOST]
    return f"{', '.join(some)} of {len(batch)} prompts"


def tokens_at(lab: Lab, batch: Batch, positions: Collection[str]) -> str:
    """A sentence with the tokens at last and read, if these are among the positions; otherwise an empty text."""
    named = [f"{at} is {token_at(lab, batch, at)}" for at in (LAST, READ) if at in positions]
    return f" Here {'; '.join(named)}." if named else ""


def value_tokens(tokenizer: Any, prompts: Sequence[Prompt], name: str) -> tuple[Tensor, tuple[Note, ...]]:
    """The token that stands for the value in each prompt [n], and a note if it is only a part of some values."""
    found: list[int] = []
    parts = 0
    for prompt, value in zip(prompts, value_in_each(prompts, name), strict=True):
        text = blank_before(prompt) + value
        try:
            ids = encode_answer(tokenizer, prompt.text, text)[1]
        except BadTask as fault:
            raise BadConfiguration(f"The value {name} cannot be read: {fault}") from fault
        telling = [token for token in ids if tokenizer.decode([token]).strip()]
        if not telling:
            raise BadConfiguration(f"The value {name} cannot be read: {text!r} has only blank tokens. "
                                   "Name another value.")  # fmt: skip
        found.append(telling[0])
        parts += len(telling) > 1
    notes = (note("value_of_several_tokens", few=parts, n=len(prompts), value=name),) if parts else ()
    return torch.tensor(found), notes
