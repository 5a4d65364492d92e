"""Clean and corrupted prompts, aligned token by token, so that activations of one run can be patched into the other.

A corrupted prompt is the same prompt with one small change and another answer. Both runs are scored on the same two
tokens, the answer and the corrupted prompt's answer, in the same columns. Corrupted prompts with another number of
tokens are not used: their tokens could not be aligned.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ..errors import BadConfiguration, BadTask
from ..lab import Lab
from ..model.encoding import encode
from ..notes import note
from ..result import Note
from .batch import Batch, make_batch
from .donors import LOOKED_AT, Place, place
from .pairs import aligned, made_pairs, own_pairs, rival, too_few
from .prompt import Prompt, Split
from .values import values_of

# The number of donors of one template and length to draw a prompt's donor from.
DONORS = 8


@dataclass(frozen=True)
class CorruptedPrompts:
    """n prompts and their corrupted prompts.

    Both batches have the same columns and spans. In addition to the task's spans there are `last` (the prompt's last
    token), `read` (the token whose prediction is read), `changed` (from the first to the last token that differs), and,
    if all prompts have one length, `t0`, `t1`, ... (each token).
    """

    prompts: tuple[Prompt, ...]
    clean: Batch
    corrupted: Batch
    # Notes on skipped prompts of the draw.
    notes: tuple[Note, ...] = ()
    # What the corrupted prompts change, and in how many prompts: spans, or for made ones all values.
    changes: tuple[tuple[str, int], ...] = ()

    @property
    def asked(self) -> list[str]:
        return [p.key for p in self.prompts]

    @property
    def spans(self) -> list[str]:
        """The spans that every prompt has, in the order of the first one."""
        common = set[str].intersection(*map(set, self.clean.spans))
        return sorted(common, key=lambda name: (*self.clean.spans[0][name], name))

    def known(self, positions: str) -> str:
        """The positions themselves. Raises BadConfiguration if a prompt has no position of that name."""
        if positions != "all" and positions not in self.spans:
            steps = [name for name in self.spans if is_step(name)]
            rest = [name for name in self.spans if name not in steps] + ([f"t0 to {steps[-1]}"] if steps else [])
            raise BadConfiguration(f"Not every prompt has the position '{positions}'. Positions: all, each, "
                                   f"{', '.join(rest)}.")  # fmt: skip
        return positions


def is_step(name: str) -> bool:
    return name[0] == "t" and name[1:].isdigit()


def corrupted_prompts(
    lab: Lab, draw: tuple[int, Split, int], one_length: bool = False, value: str | None = None
) -> CorruptedPrompts:
    """The first n prompts of the draw with a corrupted prompt of as many tokens; with `one_length`, of one template and
    length. With `value`, the corrupted prompt changes this value: the task's own, if n of them change only the span of
    that name, and otherwise made ones (see `changed_values`). Raises BadConfiguration if there are fewer."""
    found = own_pairs(lab, draw, one_length, value)
    if value is not None and not found.chosen:
        made = made_pairs(lab, draw, one_length, value)
        found = made if made.most >= found.most else found
    n = draw[0]
    if not found.chosen:
        raise BadConfiguration(too_few(lab, draw, found, one_length, value))
    prompts = tuple(p.model_copy(update={"distractor": rival(p)}) for p in found.chosen)
    clean = make_batch(lab.subject.tokenizer, prompts, lab.subject.device)
    other = make_batch(lab.subject.tokenizer, [with_text(p, p.corrupted) for p in prompts], lab.subject.device)
    spans = tuple(named(clean, other, row, one_length) for row in range(n))
    notes = passed_over("without_corrupted_prompt", found.passed, found.looked_at)
    if found.others:
        notes = (*notes, note("another_value_changed", passed=found.others, looked_at=found.looked_at, value=value))
    changes = made_changes(prompts, found.values) if found.values else span_changes(prompts, clean, other)
    return CorruptedPrompts(prompts, replace(clean, spans=spans), replace(other, spans=spans), notes, changes)


def span_changes(prompts: Sequence[Prompt], clean: Batch, other: Batch) -> tuple[tuple[str, int], ...]:
    """The task's spans whose tokens differ, and in how many prompts."""
    counted: Counter[str] = Counter()
    for row, prompt in enumerate(prompts):
        differs = clean.ids[row] != other.ids[row]
        counted.update(name for name in prompt.spans if bool(differs[slice(*clean.spans[row][name])].any()))
    return tuple(counted.most_common())


def made_changes(prompts: Sequence[Prompt], values: Sequence[Mapping[str, str]]) -> tuple[tuple[str, int], ...]:
    """The values that differ, and in how many prompts."""
    counted: Counter[str] = Counter()
    for prompt, changed in zip(prompts, values, strict=True):
        counted.update(name for name, own in values_of(prompt).items() if changed.get(name) != own)
    return tuple(counted.most_common())


def passed_over(code: str, passed: int, looked_at: int) -> tuple[Note, ...]:
    """A note on the prompts that were skipped because what they need is missing; empty if none were."""
    return (note(code, passed=passed, looked_at=looked_at),) if passed else ()


def with_text(prompt: Prompt, text: str | None) -> Prompt:
    """Another text, scored on the prompt's own answers."""
    return prompt.model_copy(update={"text": text, "spans": {}, "values": {}})


def named(clean: Batch, other: Batch, row: int, one_length: bool) -> dict[str, tuple[int, int]]:
    first = int(clean.mask[row].argmax())
    end = clean.spans[row]["last"][1]
    read = clean.length - clean.reads + int(clean.answer_at[row])
    differs = (clean.ids[row] != other.ids[row]).nonzero()[:, 0].tolist()
    steps = {f"t{i}": (column, column + 1) for i, column in enumerate(range(first, end))} if one_length else {}
    made = {"read": (read, read + 1), "changed": (differs[0], differs[-1] + 1), **steps}
    # A span of the task takes precedence.
    return {**made, **clean.spans[row]}


def donors(lab: Lab, pair: CorruptedPrompts, seed: int, clean: bool) -> tuple[Batch, list[int]]:
    """For each prompt, the text (or corrupted text) of another one of its template and length, from the explore split,
    with another question and another token where the answer is read; and the rows that have one. Other rows contain the
    prompt itself."""
    wanted = Counter(pair.clean.groups)
    found: dict[tuple[str, int], list[Prompt]] = {group: [] for group in wanted}
    templates = {template for template, _ in wanted}
    for other in candidates(lab, seed, templates):
        tokens = len(encode(lab.subject.tokenizer, other.text)[0])
        if len(found.get((other.template, tokens), [None] * DONORS)) < DONORS:
            found[other.template, tokens].append(other)
        if all(len(some) == DONORS for some in found.values()):
            break
    rng, lent, rows = random.Random(seed), list[Prompt](), list[int]()
    for row, (prompt, group) in enumerate(zip(pair.prompts, pair.clean.groups, strict=True)):
        own = place(lab.subject.tokenizer, prompt)
        texts = [t for o in found[group] if lends(lab, o, own)
                 for t in [o.text if clean else o.corrupted] if t and aligned(lab, prompt, t) is not None]  # fmt: skip
        lent.append(with_text(prompt, rng.choice(texts)) if texts else prompt)
        rows += [row] if texts else []
    batch = make_batch(lab.subject.tokenizer, lent, lab.subject.device)
    return replace(batch, spans=pair.clean.spans), rows


def lends(lab: Lab, other: Prompt, to: Place) -> bool:
    try:
        return place(lab.subject.tokenizer, other).lends_to(to)
    except BadTask:
        return False


def candidates(lab: Lab, seed: int, templates: set[str]) -> Iterator[Prompt]:
    drawn = islice(lab.task.source.stream("explore", seed), LOOKED_AT)
    return (p for p in drawn if p.template and p.template in templates)


def tokens_at(lab: Lab, pair: CorruptedPrompts, positions: Sequence[str]) -> list[str]:
    """The labels of these positions for a drawing: the token if it is the same in all prompts, otherwise the name of
    the span or of the position."""
    names: list[str] = []
    for at in positions:
        if at == "all":
            names.append(at)
            continue
        (first, last), rows = pair.clean.spans[0][at], zip(pair.clean.spans, pair.clean.ids, strict=True)
        seen = {tuple(ids[slice(*spans[at])].tolist()) for spans, ids in rows}
        inside = [s for s in pair.spans if not is_step(s) and s not in ("changed", "read", "last")
                  and pair.clean.spans[0][s][0] <= first < pair.clean.spans[0][s][1]]  # fmt: skip
        if not is_step(at) or last - first != 1:
            names.append(at)
        elif len(seen) == 1:
            names.append(lab.subject.tokenizer.decode(list(seen.pop())))
        else:
            names.append(f"[{inside[0]}]" if inside else f"[{at}]")
    return names
