"""Run a subject on any tokens: next-token tables, continuations, and what changes its prediction on random sequences.

Nothing here knows of a task. Sequences of one length run together, so there are no pads.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..engine.generate import Writer
from ..interventions import Intervention
from ..metrics import divergence
from ..tasks.batch import Batch, token_batch

if TYPE_CHECKING:
    from ..lab import Lab
    from ..model.subject import Subject

INTACT = Intervention(name="intact")
Rows = Sequence[Sequence[int]]
# Sequences that are continued together.
AT_ONCE = 32


@dataclass
class TopReadout:
    """The `top` most likely next tokens at every column, [row, column, top], and the entropy there in nats."""

    top: int
    every_column: bool = True
    at: Tensor | None = None
    tokens: Tensor | None = None

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        log_probs = logits.float().log_softmax(-1)
        best = log_probs.topk(self.top)
        return {"prob": best.values.exp(), "token": best.indices,
                "entropy": -(log_probs.exp() * log_probs).sum(-1)}  # fmt: skip


@dataclass
class ChangedReadout:
    """How far the last prediction is from another: KL in nats, and whether the most likely token differs.

    intact  [sequence, vocabulary] log-probabilities; row i of the batch is compared with that of sequence of[i]
    """

    intact: Tensor
    of: Tensor
    at: Tensor
    tokens: Tensor | None = None
    every_column: bool = False

    def measure(self, logits: Tensor, prompts: Tensor) -> dict[str, Tensor]:
        changed = logits[:, 0].float().log_softmax(-1)
        before = self.intact[self.of[prompts].to(self.intact.device)]
        other = (changed.argmax(-1).cpu() != before.argmax(-1).cpu()).float()
        return {"kl": divergence(before, changed).cpu(), "top_changed": other}


@dataclass(frozen=True)
class Table:
    """What follows each position of one sequence: `prob` and `token` [position][top], and `entropy` [position]."""

    prob: list[list[float]]
    token: list[list[int]]
    entropy: list[float]


def tables(lab: Lab, rows: Rows, top: int) -> list[Table]:
    """The next-token table of each sequence."""
    found: dict[int, Table] = {}
    for length in sorted({len(row) for row in rows}):
        which = [i for i, row in enumerate(rows) if len(row) == length]
        batch = batch_of_rows(lab.subject, [rows[i] for i in which])
        seen = lab.run(f"next tokens, length {length}", batch, [INTACT], TopReadout(top))
        for at, i in enumerate(which):
            prob, token, entropy = (seen[name][0][at].tolist() for name in ("prob", "token", "entropy"))
            found[i] = Table(prob, [[int(t) for t in each] for each in token], entropy)
    return [found[i] for i in range(len(rows))]


def batch_of_rows(subject: Subject, rows: Rows) -> Batch:
    return token_batch(torch.tensor([list(row) for row in rows], device=subject.device))


@torch.inference_mode()
def continuations(lab: Lab, rows: Rows, count: int, temperature: float, seed: int) -> list[list[int]]:
    """`count` more tokens after each sequence, or fewer up to an end-of-text token, which is included: the most likely
    ones, or with a temperature drawn from the softmax of logits / temperature. Each sequence has its own draw, by the
    seed and its place."""
    subject, written = lab.subject, [list[int]() for _ in rows]
    end = subject.tokenizer.eos_token_id
    draws = [torch.Generator().manual_seed(seed * 1_000_003 + i) for i in range(len(rows))]
    for length in sorted({len(row) for row in rows}):
        same = [i for i, row in enumerate(rows) if len(row) == length]
        for begin in range(0, len(same), AT_ONCE):
            which = same[begin : begin + AT_ONCE]
            batch, pairs = batch_of_rows(subject, [rows[i] for i in which]), [(0, at) for at in range(len(which))]
            writer = Writer(subject, batch, None, [INTACT], pairs, {}, count)
            logits = writer.begin()
            for step in range(count):
                lab.progress("continuing", step, count)
                chosen = [next_token(row, temperature, draws[i]) for row, i in zip(logits, which, strict=True)]
                for token, i in zip(chosen, which, strict=True):
                    if end is None or end not in written[i][-1:]:
                        written[i].append(token)
                if step + 1 == count or all(end is not None and written[i][-1] == end for i in which):
                    break
                logits = writer.add(torch.tensor(chosen, device=subject.device))
    return written


def next_token(logits: Tensor, temperature: float, draw: torch.Generator) -> int:
    """The most likely token of logits [vocabulary], or one drawn at a temperature."""
    if temperature == 0:
        return int(logits.argmax())
    probabilities = (logits.double().cpu() / temperature).softmax(-1)
    return int(torch.multinomial(probabilities, 1, generator=draw))


# --- random sequences ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probes:
    """Random sequences and their changed versions.

    front    tokens that the tokenizer puts before every text; they are never changed
    rows     the sequences, without `front`
    changed  name of a change -> the changed sequences, in the same order; `shifted` has the same tokens
    """

    front: tuple[int, ...]
    rows: list[list[int]]
    changed: dict[str, list[list[int]]]


SHIFTED, OTHER = "shifted", "another sequence"


def probes(front: Sequence[int], among: Sequence[int], n: int, length: int, seed: str) -> Probes:
    """n random sequences and what is done to them, all from the seed."""
    draw = random.Random(seed)
    rows = [[draw.choice(among) for _ in range(length)] for _ in range(n)]

    def other(token: int) -> int:
        while (found := draw.choice(among)) == token:
            pass
        return found

    changed: dict[str, list[list[int]]] = {"permuted": [], SHIFTED: rows, "lengthened": []}
    for row in rows:
        order = list(range(length - 1))
        while length > 2 and order == list(range(length - 1)):
            draw.shuffle(order)
        changed["permuted"].append([*(row[i] for i in order), row[-1]])
        changed["lengthened"].append([draw.choice(among), *row])
    for i in range(length):
        changed[f"replaced t{i}"] = [[*row[:i], other(row[i]), *row[i + 1 :]] for row in rows]
    if n > 1:
        changed[OTHER] = [*rows[1:], rows[0]]
    if length < 3:
        del changed["permuted"]
    return Probes(tuple(front), rows, changed)


def predictions(lab: Lab, given: Probes) -> Tensor:
    """The log-probabilities after each sequence, [sequence, vocabulary]."""
    return lab.prediction(batch_of_rows(lab.subject, [[*given.front, *row] for row in given.rows]))


def effects_of_changes(lab: Lab, given: Probes, intact: Tensor) -> dict[str, dict[str, Tensor]]:
    """For each change, `kl` [sequence] (of the changed prediction from the intact one, in nats) and `top_changed`."""
    n, found = len(given.rows), dict[str, dict[str, Tensor]]()
    alike = [name for name in given.changed if name not in (SHIFTED, "lengthened")]
    for names in (alike, [SHIFTED], ["lengthened"]):
        rows = [[*given.front, *row] for name in names for row in given.changed[name]]
        batch = batch_of_rows(lab.subject, rows)
        if names == [SHIFTED]:
            batch = replace(batch, position_ids=batch.position_ids + 1)
        of = torch.arange(n).repeat(len(names))
        seen = lab.run(f"random sequences, {names[0]}", batch, [INTACT], ChangedReadout(intact, of, batch.answer_at))
        for i, name in enumerate(names):
            found[name] = {metric: values[0][i * n : (i + 1) * n] for metric, values in seen.items()}
    return {name: found[name] for name in given.changed}
