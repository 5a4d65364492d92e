"""Which prompts are donors: their values replace those of a part with the methods mean and resample.

A replacement value must not contain the prompt's own answer, or the ablation removes too little. If a mean over eight
prompts includes the prompt itself, an eighth of the part's effect remains; if all eight have the same answer, all of
it. So a donor has another question, and another token where the prompt's answer is read. A prompt uses donors of its
template and length or, if these are too few, of its length, both column by column. If these are also too few, it uses
all positions of all donors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import BadConfiguration
from ..tasks.batch import Batch

# With fewer donors of a form than this, a prompt uses those of a looser form, if it has enough.
FEWEST = 4


@dataclass(frozen=True)
class Donors:
    """The donors of each prompt, [prompt, other] of bool: `aligned` column by column, `scattered` at any position.

    Every prompt has donors of only one of the two forms. `like` [prompt] says whether they also share its template.
    """

    aligned: Tensor
    scattered: Tensor
    like: Tensor


def foreign(batch: Batch) -> Tensor:
    """[prompt, other] of bool: the other has another question, and another token where the prompt's answer is read.

    Open prompts have no answer, so another question is enough.
    """
    numbered = {question: i for i, question in enumerate(dict.fromkeys(batch.questions))}
    asked = torch.tensor([numbered[question] for question in batch.questions])
    targets, at = batch.targets.cpu(), batch.answer_at.cpu()
    own, others = targets[torch.arange(len(batch)), at], targets[:, at].T
    return (asked[:, None] != asked) & ((own[:, None] != others) | (own[:, None] < 0))


def donors(batch: Batch, n: int | None = None) -> Donors:
    """The donors of the first n prompts (None: of all) among the others of the batch.

    Raises BadConfiguration if a prompt has none.
    """
    n = len(batch) if n is None else n
    far = some_for_each(foreign(batch)[:n])
    length = torch.tensor([length for _, length in batch.groups])
    templates = [template for template, _ in batch.groups]
    same = torch.tensor([[bool(a) and a == b for b in templates] for a in templates[:n]])
    as_long = far & (length[:n, None] == length)
    forms = torch.stack([as_long & same, as_long, far])
    counts = forms.sum(-1)
    # The first form with enough donors; otherwise the first with any.
    chosen = torch.where((counts >= FEWEST).any(0), (counts >= FEWEST).int().argmax(0), (counts > 0).int().argmax(0))
    taken = forms[chosen, torch.arange(n)]
    alone = (chosen == len(forms) - 1)[:, None]
    return Donors(taken & ~alone, taken & alone, chosen == 0)


def anywhere(batch: Batch, n: int) -> Donors:
    """For the first n prompts, all prompts with another question and answer, at all of their positions.

    Raises BadConfiguration if a prompt has none.
    """
    far = some_for_each(foreign(batch)[:n])
    return Donors(torch.zeros_like(far), far, torch.zeros(n, dtype=torch.bool))


def some_for_each(far: Tensor) -> Tensor:
    """`far` [prompt, other] unchanged. Raises BadConfiguration if a prompt has no other."""
    if lonely := int((~far.any(-1)).sum()):
        raise BadConfiguration(
            f"{lonely} of {len(far)} prompts have no other prompt with another question and answer, so every mean or "
            "resample would contain their own answer. Use method zero, or a task with more answers."
        )
    return far


def content(batch: Batch) -> Tensor:
    """[batch, position] of bool: tokens that are neither pads nor the first token (a BOS, or its stand-in)."""
    return (batch.mask.bool()) & (batch.position_ids > 0)


def means(values: Tensor, batch: Batch, lent: Donors) -> Tensor:
    """values [batch, position, width] -> for each of the first n prompts the mean over its donors, [n, position,
    width]: column by column, or over all their positions. Pads enter no mean.

    Answers differ in length. A column for which no donor has a token takes the means of their last tokens.
    """
    mask = batch.mask.bool().to(values.device)
    by, given = lent.aligned.to(values), values.masked_fill(~mask[..., None], 0)
    count = by @ mask.to(values)
    mean = torch.einsum("ij,jpw->ipw", by, given) / count.clamp(min=1)[..., None]
    if bool((lacking := (count == 0) & mask[: len(by)] & by.any(-1, keepdim=True)).any()):
        filled = values[torch.arange(len(batch))[:, None], last_columns(batch)]
        ends = torch.einsum("ij,jpw->ipw", by, filled) / by.sum(-1).clamp(min=1)[:, None, None]
        mean = torch.where(lacking[..., None], ends, mean)
    if bool(lent.scattered.any()):
        inside = content(batch).to(values)
        sums, counts = torch.einsum("jp,jpw->jw", inside, given), inside.sum(-1)
        from_all = lent.scattered.to(values)
        spread = (from_all @ sums) / (from_all @ counts).clamp(min=1)[:, None]
        mean = torch.where(from_all.any(-1)[:, None, None], spread[:, None], mean)
    return mean


def last_columns(batch: Batch) -> Tensor:
    """[batch, position]: each column, or the prompt's last one after the end of its answer."""
    last = batch.length - 1 - batch.mask.cpu().flip(-1).argmax(-1)
    return torch.minimum(torch.arange(batch.length)[None], last[:, None])


def drawn(batch: Batch, lent: Donors, seed: int) -> tuple[Tensor, Tensor]:
    """For each column of the first n prompts, the row and column of a random donor, [n, position] each.

    An aligned donor gives all of its columns; scattered ones give single positions.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.zeros(len(lent.like), batch.length, dtype=torch.long) for _ in range(2))
    inside, ends = content(batch).cpu(), last_columns(batch)
    for row, (aligned, scattered) in enumerate(zip(lent.aligned, lent.scattered, strict=True)):
        if bool(aligned.any()):
            free = aligned.nonzero()[:, 0]
            donor = free[torch.randint(len(free), (1,), generator=generator)]
            rows[row], columns[row] = donor, ends[donor]
        else:
            places = (inside & scattered[:, None]).nonzero()
            taken = places[torch.randint(len(places), (batch.length,), generator=generator)]
            rows[row], columns[row] = taken[:, 0], taken[:, 1]
    return rows, columns
