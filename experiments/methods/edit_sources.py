"""Where the edits of `intervene` take their values from: means and resamples, the other run of the same prompt, a text,
another prompt of the task by a rule, a direction, and masks of attention patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import engine
from ..edit_lines import Direction, Donor, Line, places_of
from ..engine import Source
from ..engine.activations import Activations
from ..engine.edits import columns_of
from ..errors import BadConfiguration
from ..lab import Lab
from ..model.encoding import encode
from ..result import Note
from ..sites import Part
from ..tasks.batch import Batch, make_batch, token_batch
from ..tasks.corrupted_prompts import CorruptedPrompts, with_text
from ..tasks.donors_by_rule import donors_by_rule
from ..tasks.prompt import Prompt, Split
from .intervene import source_name
from .removal import replacements


@dataclass(frozen=True)
class Base:
    """What is run: the prompts, their batch, and both runs of each if the lines need them."""

    prompts: tuple[Prompt, ...]
    batch: Batch
    pair: CorruptedPrompts | None = None
    notes: tuple[Note, ...] = ()
    # Whether these are all prompts of the draw.
    whole_draw: bool = False


def sources(
    lab: Lab, base: Base, lines: Sequence[Line], draw: tuple[int, Split, int]
) -> tuple[dict[str, Source], tuple[Note, ...]]:
    """The sources of these lines by name, for every layer, and notes about them."""
    found: dict[str, Source] = {}
    notes: list[Note] = []
    sizes = lab.subject.sizes
    parts: dict[str, set[Part]] = {}
    by_name: dict[str, tuple[Line, str]] = {}
    for line in lines:
        if line.verb in ("zero", "freeze", "scale", "skip", "repeat", "swap", "layers"):
            continue
        for place in places_of(line, sizes):
            name = source_name(line, place.at)
            parts.setdefault(name, set()).add(place.site.part)
            by_name[name] = line, place.at
    for name, (line, at) in by_name.items():
        if line.verb in ("mean", "resample") and base.whole_draw:
            own, more = replacements(lab, draw, line.verb, parts[name])
            found |= own
            notes += more
        else:
            found[name] = _source(lab, base, line, at, parts[name], draw[-1])
    return found, tuple(notes)


def _source(lab: Lab, base: Base, line: Line, at: str, parts: set[Part], seed: int) -> Source:
    subject, batch = lab.subject, base.batch
    if line.verb == "mean":
        return engine.mean_source(engine.read(subject, batch, parts), batch)
    if line.verb == "resample":
        return engine.resample_source(engine.read(subject, batch, parts), batch, seed)
    if line.verb in ("cut", "attend"):
        return Keys(batch, line.keys, subject.sizes, cut=line.verb == "cut")
    if line.donor is not None:
        return _donor(lab, base, line.donor, parts, seed)
    assert line.along is not None
    if line.along.runs == "corrupted - clean":
        assert base.pair is not None
        clean, other = (engine.read(subject, one, parts) for one in (base.pair.clean, base.pair.corrupted))
        return Difference(other, clean, columns_of(batch, at))
    return Along(of_tokens(lab, batch, line.along, line.text)[:, None])


def of_tokens(lab: Lab, batch: Batch, along: Direction, text: str) -> Tensor:
    """A direction of tokens, or of each prompt's answer and distractor, [1 or batch, d_model]; see
    `engine.unembedding`. Raises BadConfiguration."""
    if along.runs == "answer - distractor":
        if bool((batch.pair < 0).any()):
            raise BadConfiguration(f"'{text}' needs prompts with a distractor, which {lab.task.name} lacks. "
                                   'Name two tokens instead: along " Paris" - " Rome".')  # fmt: skip
        vectors = engine.unembedding(lab.subject, batch.pair.flatten()).T.unflatten(0, (-1, 2))
        return vectors[:, 0] - vectors[:, 1]
    tokens = [single_token(lab, one, text) for one in (*along.plus, *along.minus)]
    vectors = engine.unembedding(lab.subject, torch.tensor(tokens)).T
    plus = len(along.plus)
    return (vectors[:plus].sum(0) - vectors[plus:].sum(0))[None]


def single_token(lab: Lab, text: str, where: str) -> int:
    """The one token of a text. Raises BadConfiguration if it has several, and names them."""
    ids = list(lab.subject.tokenizer(text, add_special_tokens=False)["input_ids"])
    if len(ids) != 1:
        pieces = ", ".join(repr(lab.subject.tokenizer.decode([one])) for one in ids[:6])
        raise BadConfiguration(
            f"'{where}': {text!r} is not one token of {lab.subject.name}, but {len(ids)} ({pieces}). "
            "Name one of them, or another word."
        )
    return ids[0]


@dataclass(frozen=True)
class Along:
    """One direction of length 1 for each prompt, or for all: [batch or 1, 1, d_model], the same at every place."""

    vectors: Tensor

    def at(self, layer: int, part: Part) -> Tensor:
        return torch.nn.functional.normalize(self.vectors, dim=-1)


@dataclass(frozen=True)
class Difference:
    """The mean, over prompts and positions, of what one run has minus what another has, [1, 1, width]."""

    plus: Activations
    minus: Activations
    chosen: Tensor

    def at(self, layer: int, part: Part) -> Tensor:
        difference = self.plus.at(layer, part) - self.minus.at(layer, part)
        return difference[self.chosen.to(difference.device)].mean(0)[None, None]


@dataclass(frozen=True)
class Keys:
    """For every query, which keys it may attend to: with `cut`, 1 for all but the named ones; otherwise weights that
    share its attention equally among the named ones (the query itself where it comes before all of them)."""

    batch: Batch
    keys: str
    sizes: Mapping[str, int]
    cut: bool

    def at(self, layer: int, part: Part) -> Tensor:
        named = columns_of(self.batch, self.keys)[:, None, :]
        if self.cut:
            weights = (~named).float().expand(-1, self.batch.length, -1)
        else:
            steps = torch.arange(self.batch.length, device=named.device)
            seen = (named & (steps[None, :] <= steps[:, None])).float()
            own = torch.eye(self.batch.length, device=named.device)
            weights = torch.where(seen.sum(-1, keepdim=True) > 0, seen, own)
            weights = weights / weights.sum(-1, keepdim=True)
        heads = self.sizes.get(f"L{layer}.n_heads", self.sizes["n_heads"])
        return weights.repeat(1, 1, heads)


def _donor(lab: Lab, base: Base, donor: Donor, parts: set[Part], seed: int) -> Source:
    subject, batch = lab.subject, base.batch
    if donor.run is not None:
        assert base.pair is not None
        other = base.pair.corrupted if donor.run == "corrupted" else base.pair.clean
        return engine.patch_source(engine.read(subject, other, parts), batch, other)
    if donor.text is not None:
        ids = encode(subject.tokenizer, donor.text)[0]
        if not -len(ids) <= donor.token < len(ids):
            raise BadConfiguration(f"{donor.text[:60]!r} has {len(ids)} tokens, so there is no token {donor.token}. "
                                   f"Use @{-len(ids)} to @{len(ids) - 1}.")  # fmt: skip
        if "pattern" in parts:
            raise BadConfiguration("A pattern belongs to the tokens of its own prompt. Patch it from corrupted.")
        other = token_batch(torch.tensor([ids], device=subject.device))
        column = donor.token % len(ids)
        return engine.places_source(engine.read(subject, other, parts), batch, other, [0] * len(batch),
                                    [column] * len(batch))  # fmt: skip
    texts = donors_by_rule(lab, base.prompts, donor.rules, seed)
    lent = [with_text(prompt, text) for prompt, text in zip(base.prompts, texts, strict=True)]
    other = make_batch(subject.tokenizer, lent, subject.device)
    return engine.patch_source(engine.read(subject, other, parts), batch, other)
