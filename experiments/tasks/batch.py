"""Prompts as one padded batch of tokens, with the positions where their answers are read.

Prompt and answer are tokenized together, with nothing between them, so the scored tokens are those that the model would
write. Rows are padded on the left and have position ids, so the last columns are aligned; the answer is read from the
last `reads` columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import BadTask
from ..model.encoding import Offsets, encode_answer
from .prompt import Prompt


@dataclass(frozen=True)
class Batch:
    """Token ids [batch, position] padded on the left, and where to read answers.

    mask        [batch, position], 1 for tokens and 0 for pads
    position_ids [batch, position]
    reads       how many of the last positions are read
    targets     [batch, reads], the answer's tokens; -1 for columns beyond a shorter answer
    answer_at   [batch], index into reads where answer and distractor first differ
    pair        [batch, 2], the tokens of answer and distractor there; -1 if there is no distractor
    prompt_len  [batch], number of tokens of the prompt
    spans       per row, name -> (first, last + 1) in columns; always includes "last"
    groups      per row, equal for prompts that are aligned position by position
    questions   per row, the question: the prompt's key
    """

    ids: Tensor
    mask: Tensor
    position_ids: Tensor
    reads: int
    targets: Tensor
    answer_at: Tensor
    pair: Tensor
    prompt_len: Tensor
    spans: tuple[dict[str, tuple[int, int]], ...]
    groups: tuple[tuple[str, int], ...]
    questions: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @property
    def length(self) -> int:
        return int(self.ids.shape[1])

    def rows(self, first: int, last: int) -> Batch:
        """The same batch with fewer rows and the same columns."""
        s = slice(first, last)
        return Batch(self.ids[s], self.mask[s], self.position_ids[s], self.reads, self.targets[s], self.answer_at[s],
                     self.pair[s], self.prompt_len[s], self.spans[s], self.groups[s], self.questions[s])  # fmt: skip

    def without_answers(self) -> Batch:
        """The same prompts without their answers."""
        end = self.length - self.reads + 1
        return replace(self, ids=self.ids[:, :end], mask=self.mask[:, :end], position_ids=self.position_ids[:, :end],
                       reads=1, targets=self.targets[:, :1])  # fmt: skip


def encoded(tokenizer: Any, prompt: Prompt) -> dict[str, Any]:
    """The prompt's tokens (`head`), its answer's, where answer and distractor first differ (`at`) and the two tokens
    there (`pair`), and its spans in tokens of the head. Raises BadTask if the tokenizer cannot represent it."""
    head, answer, offsets = encode_answer(tokenizer, prompt.text, prompt.answer)
    other = encode_answer(tokenizer, prompt.text, prompt.distractor)[1] if prompt.distractor is not None else None
    at = 0
    pair = (answer[0] if answer else -1, -1)
    if other is not None:
        differ = [i for i, (a, b) in enumerate(zip(answer, other, strict=False)) if a != b]
        if not differ:
            raise BadTask(
                f"The tokens of the answer {prompt.answer!r} start with those of the distractor {prompt.distractor!r}, "
                "or the reverse, so no token distinguishes them."
            )
        at = differ[0]
        pair = (answer[at], other[at])
    spans = {name: token_span(offsets, a, b, 0) for name, (a, b) in prompt.spans.items()}
    return {"prompt": prompt, "head": head, "answer": answer, "spans": spans, "at": at, "pair": pair}


def make_batch(tokenizer: Any, prompts: Sequence[Prompt], device: torch.device | str = "cpu") -> Batch:
    """One batch of all prompts, open ones without an answer. Raises BadTask if no token identifies a distractor."""
    rows = [encoded(tokenizer, prompt) for prompt in prompts]
    reads = max(1, *(len(r["answer"]) for r in rows))
    # Every prompt ends at the same column, so answers are in the same columns of every row.
    width = max(len(r["head"]) for r in rows) + reads - 1
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    targets = torch.full((len(rows), reads), -1, dtype=torch.long)
    spans: list[dict[str, tuple[int, int]]] = []
    for i, row in enumerate(rows):
        head, answer = row["head"], row["answer"]
        start = width - (reads - 1) - len(head)
        filled = head + answer[:-1]
        ids[i, start : start + len(filled)] = torch.tensor(filled)
        # Columns after a shorter answer contain pads, which earlier columns cannot see.
        mask[i, start : start + len(filled)] = 1
        targets[i, : len(answer)] = torch.tensor(answer)
        named = {name: (a + start, b + start) for name, (a, b) in row["spans"].items()}
        spans.append({**named, "last": (start + len(head) - 1, start + len(head))})
    position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
    return Batch(
        ids=ids.to(device),
        mask=mask.to(device),
        position_ids=position_ids.to(device),
        reads=reads,
        targets=targets.to(device),
        answer_at=torch.tensor([r["at"] for r in rows], device=device),
        pair=torch.tensor([r["pair"] for r in rows], device=device),
        prompt_len=torch.tensor([len(r["head"]) for r in rows], device=device),
        spans=tuple(spans),
        groups=tuple((r["prompt"].template, len(r["head"])) for r in rows),
        questions=tuple(r["prompt"].key for r in rows),
    )


def token_batch(ids: Tensor) -> Batch:
    """A batch of token rows [row, position] of one length, without pads or answers."""
    rows, length = ids.shape
    return Batch(
        ids=ids,
        mask=torch.ones_like(ids),
        position_ids=torch.arange(length, device=ids.device).repeat(rows, 1),
        reads=1,
        targets=torch.full((rows, 1), -1, device=ids.device),
        answer_at=torch.zeros(rows, dtype=torch.long, device=ids.device),
        pair=torch.full((rows, 2), -1, device=ids.device),
        prompt_len=torch.full((rows,), length, device=ids.device),
        spans=tuple({"last": (length - 1, length)} for _ in range(rows)),
        groups=(("tokens", length),) * rows,
        questions=tuple(map(str, range(rows))),
    )


def token_span(offsets: Offsets, first: int, last: int, shift: int) -> tuple[int, int]:
    """The columns whose tokens overlap the characters [first, last)."""
    inside = [i for i, (a, b) in enumerate(offsets) if a < last and b > first and b > a]
    if not inside:
        raise BadTask(f"The span {first}..{last} of a prompt contains no token.")
    return inside[0] + shift, inside[-1] + 1 + shift
